//! `fedp2p setup`: puts the mesh into a coding tool.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use fedp2p_protocols::api::{self, ErrorCode};
use serde::Serialize;

use crate::args::Globals;
use crate::context::Context;
use crate::error::Error;
use crate::setup::plan::{Action, Plan, Step, removing, setting_up};
use crate::setup::record::Record;
use crate::setup::target::{Launch, Scope, Target, program};
use crate::setup::{TOOLS, Tool, generic};
use crate::ui::colour::Style;
use crate::ui::escape;
use crate::ui::table::{Cell, Column, Table};

/// Put the mesh into a coding tool: its entry for our server, and hooks that tell its model what comes
#[derive(Debug, Args)]
#[command(after_help = "\
Without a tool, lists the tools and which of them are set up. What is in a file stays as it is, and a copy of the file is
put beside it; --remove puts that back byte for byte, or takes our entries out if somebody has changed the file since, and
puts a copy of what it was beside it then as well.

Examples:
  fedp2p setup
  fedp2p setup claude-code
  fedp2p setup codex --dry-run
  fedp2p setup cursor --project
  fedp2p setup gemini --agent reviewer
  fedp2p setup generic --file ~/.tool/mcp.json
  fedp2p setup claude-code --remove")]
pub(crate) struct Arguments {
    /// The tool
    #[arg(value_parser = tools())]
    tool: Option<&'static Tool>,

    /// Set it up for a project, the one that you are in unless said otherwise, instead of for all that you do
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = ".", requires = "tool")]
    project: Option<PathBuf>,

    /// The file with its servers, for a tool that is not in the list: "generic"
    #[arg(long, value_name = "FILE", requires = "tool")]
    file: Option<PathBuf>,

    /// Take everything out again
    #[arg(long, requires = "tool")]
    remove: bool,

    /// Show what would change, and change nothing
    #[arg(long, requires = "tool")]
    dry_run: bool,
}

fn tools() -> impl TypedValueParser<Value = &'static Tool> {
    let names = TOOLS.map(|tool| PossibleValue::new(tool.name));
    PossibleValuesParser::new(names).map(|name| Tool::find(&name).expect("every possible name is a tool's"))
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
struct Reply {
    tool: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<PathBuf>,
    dry_run: bool,
    files: Vec<FileReply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    afterwards: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct FileReply {
    path: PathBuf,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

/// One tool in the list.
#[derive(Debug, Serialize)]
struct ToolReply {
    tool: &'static str,
    title: &'static str,
    user: bool,
    projects: Vec<PathBuf>,
}

/// Sets a tool up, takes everything out again, or lists the tools.
pub(crate) fn run(arguments: &Arguments, globals: &Globals, context: &Context) -> Result<(), Error> {
    let mut record = Record::open(context.home.root())?;
    let Some(tool) = arguments.tool else { return list(&record, context) };
    let user_home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let user_home = user_home.ok_or_else(|| Error::usage("HOME is not set", "set it to your home folder"))?;
    let target = target(tool, arguments, globals, context, &user_home)?;
    let plan = if arguments.remove { removing(&target, &record)? } else { setting_up(&target, &record)? };
    let project = if let Scope::Project(project) = &target.scope { Some(project.clone()) } else { None };
    let changes = plan.changes();
    let steps = if arguments.dry_run { plan.steps } else { carry_out(plan, &mut record, context)? };
    let files = steps.iter().map(|step| file(step, arguments.dry_run)).collect();
    let afterwards = (!arguments.dry_run && !arguments.remove && changes).then_some(tool.afterwards);
    let reply = Reply { tool: tool.name, project, dry_run: arguments.dry_run, files, afterwards };
    show(&reply, arguments, context)
}

fn carry_out(plan: Plan, record: &mut Record, context: &Context) -> Result<Vec<Step>, Error> {
    plan.carry_out(record, context.home.root())
}

fn scope(arguments: &Arguments) -> Result<Scope, Error> {
    let Some(project) = &arguments.project else { return Ok(Scope::User) };
    let found = project.canonicalize().map_err(|error| {
        let message = format!("{} is no folder: {error}", project.display());
        Error::Refused(api::Error::new(ErrorCode::NotFound, message).hint("name the folder of the project"))
    })?;
    Ok(Scope::Project(found))
}

fn target<'a>(
    tool: &'static Tool,
    arguments: &Arguments,
    globals: &Globals,
    context: &Context,
    user_home: &'a std::path::Path,
) -> Result<Target<'a>, Error> {
    if arguments.file.is_some() && tool.name != generic::TOOL.name {
        let message = format!("the files of {} are known", tool.title);
        return Err(Error::usage(message, "leave --file out"));
    }
    let file = arguments.file.as_deref().map(std::path::absolute).transpose();
    let file = file.map_err(Error::system("make the path of --file absolute"))?;
    let scope = scope(arguments)?;
    // A tool that is started elsewhere does not know what the environment says here.
    let named = globals.home.is_some() || !context.home.is_usual();
    let launch = Launch {
        program: program(&scope)?,
        home: named.then(|| context.home.root().to_owned()),
        agent: globals.agent.clone(),
    };
    Ok(Target { tool, scope, launch, user_home, file, variable: |name| std::env::var_os(name) })
}

fn file(step: &Step, dry_run: bool) -> FileReply {
    let diff = (dry_run && step.action != Action::Keep).then(|| step.diff());
    FileReply { path: step.path.clone(), action: step.action, backup: step.backup.clone(), diff }
}

fn show(reply: &Reply, arguments: &Arguments, context: &Context) -> Result<(), Error> {
    if context.out.json() {
        return Ok(context.out.envelope("setup", reply, None)?);
    }
    if reply.files.is_empty() {
        context.out.note("nothing is set up");
        return Ok(());
    }
    if arguments.dry_run {
        let diffs = reply.files.iter().filter_map(|file| file.diff.as_deref()).flat_map(str::lines);
        let text: String = diffs.map(|line| format!("{}\n", escape::line(line))).collect();
        context.out.print(&text)?;
        context.out.note(if text.is_empty() { "nothing would change" } else { "nothing was changed" });
        return Ok(());
    }
    let mut table = Table::new(&[Column::text("File"), Column::fixed("Now"), Column::spare("As it was before")]);
    for file in &reply.files {
        let backup = file.backup.as_ref().map(|backup| backup.display().to_string());
        let path = file.path.display().to_string();
        table.row([path.into(), word(file.action).into(), Cell::maybe(backup.as_deref())]);
    }
    context.out.print(&table.render(context.out.width(), context.out.paint()))?;
    if let Some(afterwards) = reply.afterwards {
        context.out.note(&format!("next: {afterwards}; \"{} doctor\" looks whether it works", context.program));
    }
    Ok(())
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Create => "made",
        Action::Change => "changed",
        Action::Keep => "as it was",
        Action::Restore => "as before",
        Action::Delete => "removed",
        Action::TakeOut => "ours taken out",
    }
}

fn list(record: &Record, context: &Context) -> Result<(), Error> {
    let of = |tool: &&'static Tool| {
        let done = record.tools.iter().filter(|done| done.tool == tool.name);
        let (user, projects): (Vec<_>, Vec<_>) = done.partition(|done| done.project.is_none());
        let projects = projects.into_iter().filter_map(|done| done.project.clone()).collect();
        ToolReply { tool: tool.name, title: tool.title, user: !user.is_empty(), projects }
    };
    let tools: Vec<ToolReply> = TOOLS.iter().map(of).collect();
    if context.out.json() {
        return Ok(context.out.envelope("setup", &tools, None)?);
    }
    let columns = [Column::fixed("Name"), Column::fixed("Tool"), Column::fixed("For you"), Column::text("In projects")];
    let mut table = Table::new(&columns);
    for tool in &tools {
        let projects: Vec<String> = tool.projects.iter().map(|project| project.display().to_string()).collect();
        let user = if tool.user { Cell::styled("set up", Style::Good) } else { Cell::maybe(None) };
        table.row([tool.tool.into(), tool.title.into(), user, Cell::maybe(Some(&projects.join(", ")))]);
    }
    context.out.print(&table.render(context.out.width(), context.out.paint()))?;
    context.out.note(&format!("\nset one up with \"{} setup NAME\"", context.program));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_mistyped_tool_suggests_the_right_one() {
        let error = Line::try_parse_from(["setup", "claud-code"]).unwrap_err();
        assert!(error.to_string().contains("claude-code"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_project_is_the_folder_that_one_is_in_unless_another_is_named() {
        let project = |words: &[&str]| Line::try_parse_from(words).map(|line| line.arguments.project);
        assert_eq!(project(&["setup", "--project", "codex"]).unwrap(), Some(".".into()));
        assert_eq!(project(&["setup", "codex", "--project=/x"]).unwrap(), Some("/x".into()));
        assert_eq!(project(&["setup", "codex"]).unwrap(), None);
        assert!(project(&["setup", "--remove"]).is_err());
    }
}
