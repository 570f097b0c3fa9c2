"""Makes a tiny model with random weights, so small that it answers at once. What it says means nothing."""
import sys
import gguf
import numpy

rng = numpy.random.default_rng(1)
width, heads, layers, inner = 32, 2, 1, 64
tokens = [b"<unk>", b"<s>", b"</s>"] + [f"<0x{byte:02X}>".encode() for byte in range(256)]
kinds = [2, 3, 3] + [6] * 256
scores = [0.0] * len(tokens)

writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_context_length(8192)
writer.add_embedding_length(width)
writer.add_block_count(layers)
writer.add_feed_forward_length(inner)
writer.add_head_count(heads)
writer.add_head_count_kv(heads)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(width // heads)
writer.add_vocab_size(len(tokens))
writer.add_tokenizer_model("llama")
writer.add_token_list(tokens)
writer.add_token_scores(scores)
writer.add_token_types(kinds)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
writer.add_add_bos_token(True)
writer.add_chat_template(
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}<assistant>"
)

def weights(name, *shape):
    writer.add_tensor(name, rng.normal(0, 0.3, shape).astype(numpy.float32))

weights("token_embd.weight", len(tokens), width)
writer.add_tensor("output_norm.weight", numpy.ones(width, dtype=numpy.float32))
weights("output.weight", len(tokens), width)
for layer in range(layers):
    at = f"blk.{layer}."
    for norm in ("attn_norm", "ffn_norm"):
        writer.add_tensor(at + norm + ".weight", numpy.ones(width, dtype=numpy.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights(at + name + ".weight", width, width)
    weights(at + "ffn_gate.weight", inner, width)
    weights(at + "ffn_up.weight", inner, width)
    weights(at + "ffn_down.weight", width, inner)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
