//! `fedp2p doctor`: looks whether everything works, and says how to mend what does not.

use std::path::PathBuf;

use clap::Args;
use fedp2p_protocols::api::{self, ErrorCode};
use serde::Serialize;

use crate::args::Globals;
use crate::context::Context;
use crate::doctor::{Finding, Verdict, machine, mesh, tools};
use crate::error::Error;
use crate::setup::record::Record;
use crate::setup::target::{Launch, Target, program};
use crate::ui::colour::Style;
use crate::ui::escape;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::time::now;

/// Look whether everything works, and say how to mend what does not
#[derive(Debug, Args)]
#[command(after_help = "\
Looks at the daemon, the other nodes, the firewall, the clock, the disk, who may open the home folder, the PIN, and at each
coding tool that was set up: its server is started and its hook is run as the tool does it. Nothing is changed. It ends with
1 if something does not work.

Examples:
  fedp2p doctor
  fedp2p doctor --json")]
pub(crate) struct Arguments {}

#[derive(Debug, Serialize)]
struct Reply {
    findings: Vec<Finding>,
}

/// Looks at everything.
pub(crate) async fn run(globals: &Globals, context: &Context) -> Result<(), Error> {
    let mut findings = machine::home(&context.home, &context.program);
    findings.push(machine::disk(&context.home));
    findings.push(machine::clock(now()));
    findings.push(machine::multicast());
    findings.extend(mesh::mesh(context).await);
    findings.extend(coding_tools(globals, context).await?);
    let reply = Reply { findings };
    let bad = reply.findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
    if bad == 0 {
        return show(&reply, context, None);
    }
    let message = format!("{bad} of {} things do not work", reply.findings.len());
    let failure = api::Error::new(ErrorCode::Conflict, message).hint("do what stands beside them, then look again");
    show(&reply, context, Some(failure.into()))
}

async fn coding_tools(globals: &Globals, context: &Context) -> Result<Vec<Finding>, Error> {
    let record = match Record::open(context.home.root()) {
        Ok(record) => record,
        Err(error) => {
            let report = error.report(&context.program);
            return Ok(vec![Finding::bad("coding tools", report.message, report.hint)]);
        }
    };
    let user_home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let launch = Launch {
        program: program(&crate::setup::target::Scope::User)?,
        home: globals.home.is_some().then(|| context.home.root().to_owned()),
        agent: globals.agent.clone(),
    };
    let target = |tool, scope, file| Target {
        tool,
        scope,
        launch: launch.clone(),
        user_home: &user_home,
        file,
        variable: |name| std::env::var_os(name),
    };
    Ok(tools::tools(&record, target).await)
}

fn show(reply: &Reply, context: &Context, failure: Option<Error>) -> Result<(), Error> {
    if context.out.json() {
        let report = failure.as_ref().map(|failure| failure.report(&context.program));
        context.out.envelope("doctor", reply, report.as_ref())?;
        return failure.map_or(Ok(()), |failure| Err(Error::InEnvelope(Box::new(failure))));
    }
    let mut table =
        Table::new(&[Column::fixed(""), Column::text("What"), Column::text("Found"), Column::text("To do")]);
    for finding in &reply.findings {
        let (word, style) = match finding.verdict {
            Verdict::Good => ("ok", Style::Good),
            Verdict::Doubtful => ("look", Style::Doubtful),
            Verdict::Bad => ("bad", Style::Bad),
        };
        let hint = Cell::maybe(finding.hint.as_deref());
        table.row([Cell::styled(word, style), finding.what.as_str().into(), finding.found.as_str().into(), hint]);
    }
    context.out.print(&table.render(context.out.width(), context.out.paint()))?;
    match failure {
        None => {
            context.out.note(&escape::line("everything works"));
            Ok(())
        }
        Some(failure) => Err(failure),
    }
}
