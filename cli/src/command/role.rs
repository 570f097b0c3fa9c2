//! `fedp2p role`.

use clap::{Args, Subcommand};
use fedp2p_protocols::api::role_list::Role;
use fedp2p_protocols::api::{role_assign, role_list, role_remove};
use fedp2p_protocols::name::RoleName;

use crate::context::Context;
use crate::error::Error;
use crate::page::{self, Page};
use crate::ui::Output;
use crate::ui::colour::Style;
use crate::ui::table::{Cell, Column, Table};
use crate::ui::task as show;
use crate::ui::time::Clock;

/// Say who is what in the team
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Give an agent a role
    #[command(after_help = "\
An agent may have several roles, and several agents one. Tasks and questions can name a role instead of agents.

Examples:
  fedp2p role assign baby analyst
  fedp2p role assign baby analyst --subtask \"Profile memory allocation in auth module\" --id memory-profile
  fedp2p role assign coder@taichi reviewer --conversation lobby")]
    Assign {
        /// The agent: its address, or a name that only one has
        #[arg(value_name = "AGENT")]
        who: String,
        /// The role
        role: RoleName,
        /// What the agent is to do in this role: makes a task for it
        #[arg(long, value_name = "TEXT")]
        subtask: Option<String>,
        /// Give that task this id instead of one made from its words
        #[arg(long, requires = "subtask")]
        id: Option<String>,
        /// The conversation; there is only the lobby yet
        #[arg(long, value_name = "NAME")]
        conversation: Option<String>,
    },
    /// Take a role from an agent
    #[command(after_help = "Examples:\n  fedp2p role remove baby analyst")]
    Remove {
        /// The agent: its address, or a name that only one has
        #[arg(value_name = "AGENT")]
        who: String,
        /// The role
        role: RoleName,
        /// The conversation; there is only the lobby yet
        #[arg(long, value_name = "NAME")]
        conversation: Option<String>,
    },
    /// List who has which role
    #[command(after_help = "Examples:\n  fedp2p role list\n  fedp2p role list analyst --json")]
    List {
        /// Only those who have this role
        role: Option<RoleName>,
        #[command(flatten)]
        page: Page,
    },
}

/// Gives, takes or lists.
pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    match arguments.action {
        Action::Assign { who, role, subtask, id, conversation } => {
            let request = role_assign::Request { agent: who, role, subtask, subtask_id: id, conversation };
            let reply = context.ask(request).await?;
            let said = format!("{} is {} now\n", reply.role.agent, reply.role.role);
            let task = |out: &Output| reply.task.as_ref().map(|task| show::task(task, out)).unwrap_or_default();
            context.show::<role_assign::Request>(&reply, |out| said + &task(out))
        }
        Action::Remove { who, role, conversation } => {
            let reply = context.ask(role_remove::Request { agent: who, role, conversation }).await?;
            let said = format!("{} is no {} any more\n", reply.role.agent, reply.role.role);
            context.show::<role_remove::Request>(&reply, |_| said)
        }
        Action::List { role, page } => list(role, page, context).await,
    }
}

async fn list(role: Option<RoleName>, page: Page, context: &Context) -> Result<(), Error> {
    let Page { limit, after } = page;
    let begins = after.is_none();
    let reply = context.ask(role_list::Request { role, limit, after }).await?;
    if reply.roles.is_empty() && begins {
        context.out.note(&format!("no roles: \"{} role assign\" gives one", context.program));
    }
    context.show::<role_list::Request>(&reply, |out| words(&reply.roles, out))?;
    page::note(context, reply.more, reply.next.as_deref());
    Ok(())
}

fn words(roles: &[Role], out: &Output) -> String {
    if roles.is_empty() {
        return String::new();
    }
    let clock = Clock::local();
    let mut table =
        Table::new(&[Column::fixed("Role"), Column::fixed("Agent"), Column::fixed("By"), Column::number("Age")]);
    for role in roles {
        table.row([
            Cell::styled(role.role.as_str(), Style::Strong),
            role.agent.to_string().into(),
            role.by.to_string().into(),
            clock.ago(role.at).into(),
        ]);
    }
    table.render(out.width(), out.paint())
}
