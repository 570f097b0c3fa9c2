//! The tools, by what they are about. [`full`] lists what there is beyond the twelve that every model sees.

pub(crate) mod decide;
pub(crate) mod full;
pub(crate) mod notes;
mod picture;
pub(crate) mod talk;
pub(crate) mod work;

use clap::ValueEnum;
use fedp2p_protocols::api::origin::Origin;
use schemars::JsonSchema;
use serde::Serialize;

use super::tool::Tool;

/// What is known of an author besides the address.
#[derive(Debug, Serialize, JsonSchema)]
struct Author {
    /// The schemas leave it out: it speaks for itself, and models pay for every byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    organisation: Option<String>,
    verified: bool,
}

impl From<Origin> for Author {
    fn from(origin: Origin) -> Self {
        Self { organisation: origin.organisation.map(|name| name.to_string()), verified: origin.verified }
    }
}

/// Which tools a client is offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// The twelve that coordination needs
    #[default]
    Default,
    /// Everything that an agent may do
    Full,
    /// The twelve, and what the conformance kit of the protocol looks for
    #[value(hide = true)]
    Fixtures,
}

/// The tools of a profile, in a fixed order.
pub(crate) fn of(profile: Profile) -> Vec<Tool> {
    let mut tools = vec![
        Tool::of::<talk::Send>(),
        Tool::of::<talk::Inbox>(),
        Tool::of::<picture::UpdateState>(),
        Tool::of::<picture::Pulse>(),
        Tool::of::<decide::Request>(),
        Tool::of::<decide::Respond>(),
        Tool::of::<decide::Results>(),
        Tool::of::<work::AssignRole>(),
        Tool::of::<work::ClaimTask>(),
        Tool::of::<work::Tasks>(),
        Tool::of::<notes::Notes>(),
        Tool::of::<picture::Digest>(),
    ];
    if profile == Profile::Full {
        tools.extend(full::tools());
    }
    tools
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fedp2p_protocols::api::{self, Access};

    use super::*;

    /// What all descriptions and schemas of the default profile may have together.
    const MAX_DEFAULT_BYTES: usize = 12 * 1024;

    #[test]
    #[expect(clippy::print_stderr, reason = "the size is for people to see")]
    fn the_default_profile_is_twelve_tools_in_twelve_kilobytes() {
        let tools = of(Profile::Default);
        assert_eq!(tools.len(), 12);
        let mut total = 0;
        for tool in &tools {
            let tool = &tool.shown;
            let about = tool.description.as_deref().unwrap_or_default().len();
            let input = serde_json::to_string(&tool.input_schema).unwrap().len();
            let output = serde_json::to_string(&tool.output_schema).unwrap().len();
            eprintln!("{:32} {about:5} {input:5} {output:5}", tool.name);
            assert!(about > 40, "{} says too little", tool.name);
            total += about + input + output;
        }
        eprintln!("descriptions and schemas of the default profile: {total} bytes");
        assert!(total <= MAX_DEFAULT_BYTES, "{total} bytes");
    }

    #[test]
    fn every_tool_has_a_name_of_its_own_and_says_what_it_changes() {
        let tools = of(Profile::Full);
        let names: BTreeSet<_> = tools.iter().map(|tool| tool.shown.name.clone()).collect();
        assert_eq!(names.len(), tools.len());
        for tool in &tools {
            assert!(tool.shown.name.starts_with("federation_"), "{}", tool.shown.name);
            let hints = tool.shown.annotations.as_ref().unwrap();
            assert!(hints.read_only_hint.is_some());
            assert!(
                !(hints.read_only_hint == Some(true) && hints.destructive_hint == Some(true)),
                "{}",
                tool.shown.name
            );
            let output = tool.shown.output_schema.as_ref();
            let output = output.unwrap_or_else(|| panic!("{} does not say what it answers", tool.shown.name));
            assert_eq!(output["type"], "object", "{}", tool.shown.name);
            assert!(output["properties"].as_object().is_some_and(|fields| !fields.is_empty()), "{}", tool.shown.name);
        }
        let destructive = |name: &str| {
            let tool = tools.iter().find(|tool| tool.shown.name == name).unwrap();
            tool.shown.annotations.as_ref().and_then(|hints| hints.destructive_hint).unwrap()
        };
        for name in ["federation_note_restore", "federation_task_cancel", "federation_role_remove"] {
            assert!(destructive(name), "{name}");
        }
        for name in ["federation_note_append", "federation_task_new", "federation_history"] {
            assert!(!destructive(name), "{name}");
        }
    }

    #[test]
    fn the_full_profile_is_everything_that_an_agent_may_do() {
        let names: BTreeSet<String> = of(Profile::Full).iter().map(|tool| tool.shown.name.to_string()).collect();
        for (name, access) in api::Request::ALL {
            let covered = names.contains(&format!("federation_{name}")) || full::ELSEWHERE.contains(name);
            let refused = full::NOT_FOR_AGENTS.contains(name) || *access == Access::Administer;
            assert!(covered != refused, "{name}: covered {covered}, refused {refused}");
        }
    }
}
