// Hands requests on to the server at the address of the first argument with the token of the second, and with the name of an
// agent where there are no sessions: the conformance kit can give neither. Prints its own address.
import http from "node:http";

const [target, token] = process.argv.slice(2);
const { hostname, port } = new URL(target);
const server = http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${token}` };
  if (request.headers["mcp-protocol-version"] >= "2026-07-28") headers["fedp2p-agent"] = "conformance";
  const onward = http.request({ hostname, port, path: request.url, method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/mcp`));
process.stdin.on("end", () => process.exit(0)).resume();
