//! Tasks as people read them.

use fedp2p_protocols::api::task::{Assignee, Counts, Offer, Task};
use fedp2p_protocols::api::task_list;
use fedp2p_protocols::task::{Priority, State};

use super::Output;
use super::colour::Style;
use super::escape;
use super::show::QUOTE;
use super::table::{Cell, Column, Table, cut};
use super::time::Clock;

/// Most tasks that are over that a board shows.
const MOST_OVER: usize = 10;
/// Most characters of a title on a board.
const MOST_TITLE: usize = 40;

/// Returns how far a task is, in a word, and how the word looks.
pub(crate) fn state(task: &Task) -> (&'static str, Style) {
    let announced = task.offer.as_ref().is_some_and(|offer| offer.award.is_none());
    match task.state {
        State::Submitted if task.blocked => ("waiting", Style::Faint),
        State::Submitted if announced => ("for bids", Style::Doubtful),
        State::Submitted if task.ready => ("ready", Style::Strong),
        State::Submitted => ("claimed", Style::Plain),
        State::Working | State::InputRequired if task.ready => ("abandoned", Style::Doubtful),
        State::Working => ("working", Style::Good),
        State::InputRequired => ("needs input", Style::Doubtful),
        State::Completed => ("completed", Style::Good),
        State::Failed => ("failed", Style::Bad),
        State::Canceled => ("canceled", Style::Faint),
        State::Rejected => ("rejected", Style::Bad),
    }
}

fn priority(priority: Priority) -> Cell {
    match priority {
        Priority::Low => Cell::styled("low", Style::Faint),
        Priority::Normal => Cell::from("normal"),
        Priority::High => Cell::styled("high", Style::Doubtful),
        Priority::Urgent => Cell::styled("urgent", Style::Bad),
    }
}

/// Who may take a task.
fn assignee(to: &Assignee) -> String {
    match to {
        Assignee::Anyone => "anyone".to_owned(),
        Assignee::Role(role) => format!("role {role}"),
        Assignee::Agent(agent) => agent.to_string(),
    }
}

/// Who holds a task, or who may take it.
fn who(task: &Task) -> String {
    match &task.holder {
        Some(holder) => holder.agent.to_string(),
        None if task.state.is_terminal() => String::new(),
        None => assignee(&task.to),
    }
}

/// Returns a task with everything that was said of it.
pub(crate) fn task(task: &Task, output: &Output) -> String {
    let (paint, clock) = (output.paint(), Clock::local());
    let (word, style) = state(task);
    let mut out = format!("{}  {}, by {}", paint.strong(&task.id), paint.paint(style, word), task.by);
    if task.attempt > 1 {
        out.push_str(&format!(", try {}", task.attempt));
    }
    out.push_str(&format!("\n{}\n", escape::block(&task.title, QUOTE)));
    if let Some(text) = &task.text {
        out.push_str(&format!("{}\n", escape::block(text, QUOTE)));
    }
    if let Some(data) = &task.data {
        out.push_str(&format!("data: {}\n", escape::line(&data.to_string())));
    }
    out.push_str(&paint.faint(&facts(task, &clock)));
    out.push('\n');
    let needs = task.after.iter().map(|need| match (need.state, need.circle) {
        (_, true) => format!("{} (in a circle with it, so not waited for)", need.id),
        (Some(state), false) => format!("{} ({state})", need.id),
        (None, false) if need.gone => format!("{} (over for long)", need.id),
        (None, false) => format!("{} (unknown)", need.id),
    });
    let needs: Vec<String> = needs.collect();
    if !needs.is_empty() {
        out.push_str(&format!("after: {}\n", escape::line(&needs.join(", "))));
    }
    if let Some(holder) = &task.holder {
        let how = match (holder.lapsed, holder.confirmed) {
            (true, _) => ", whose lease has run out",
            (false, true) => "",
            (false, false) => ", tentatively",
        };
        out.push_str(&format!("held by {}{how}, claim {}\n", holder.agent, escape::line(&holder.fence)));
    }
    if let Some(canceled) = &task.canceled {
        let why = canceled.reason.as_ref().map(|reason| format!(": {}", escape::line(reason))).unwrap_or_default();
        out.push_str(&format!("canceled {}{why}\n", clock.moment(canceled.at)));
    }
    if let Some(closed) = &task.closed {
        let (by, at) = (&closed.by, clock.moment(closed.at));
        out.push_str(&format!("{} by {by} {at}, claim {}\n", task.state, escape::line(&closed.fence)));
    }
    if let Some(result) = &task.result {
        out.push_str(&format!("result:\n{}\n", escape::block(result, QUOTE)));
    }
    if let Some(offer) = &task.offer {
        out.push_str(&bids(offer, &clock, output));
    }
    if !task.statements.is_empty() {
        out.push('\n');
        out.push_str(&statements(task, &clock, output));
    }
    out
}

/// For whom it is, how much it presses and when it is due, in one line.
fn facts(task: &Task, clock: &Clock) -> String {
    let mut words = vec![format!("for {}", assignee(&task.to))];
    words.extend((task.priority != Priority::Normal).then(|| format!("{:?} priority", task.priority).to_lowercase()));
    words.extend(task.due.map(|due| format!("due {}", clock.moment(due))));
    words.push(format!("made {} ago", clock.ago(task.made)));
    words.join("; ")
}

fn bids(offer: &Offer, clock: &Clock, output: &Output) -> String {
    let mut out = match (&offer.award, offer.until) {
        (Some(award), _) => {
            let why = award.reason.as_ref().map(|reason| format!(": {}", escape::line(reason))).unwrap_or_default();
            format!("awarded to {} {}{why}\n", award.to, clock.moment(award.at))
        }
        (None, Some(until)) if offer.auto => format!("the best bid gets it {}\n", clock.moment(until)),
        (None, Some(until)) => format!("bids are taken until {}\n", clock.moment(until)),
        (None, None) => "bids are taken until it is awarded\n".to_owned(),
    };
    if !offer.bids.is_empty() {
        let mut table =
            Table::new(&[Column::fixed("Bidder"), Column::number("Cost"), Column::text("Reason"), Column::fixed("At")]);
        for bid in &offer.bids {
            table.row([
                bid.by.to_string().into(),
                Cell::maybe(bid.cost.map(|cost| cost.to_string()).as_deref()),
                Cell::maybe(bid.reason.as_deref()),
                clock.moment(bid.at).into(),
            ]);
        }
        out.push('\n');
        out.push_str(&table.render(output.width(), output.paint()));
    }
    out
}

fn statements(task: &Task, clock: &Clock, output: &Output) -> String {
    let mut table = Table::new(&[
        Column::fixed("Agent"),
        Column::fixed("State"),
        Column::text("Note"),
        Column::fixed("Counts"),
        Column::fixed("Claim"),
        Column::fixed("At"),
    ]);
    for said in &task.statements {
        let counts = match said.counts {
            Counts::Yes => Cell::styled("yes", Style::Good),
            Counts::Stale => Cell::styled("no: held by another since", Style::Doubtful),
            Counts::NotHeld => Cell::styled("no: did not hold it", Style::Bad),
            Counts::OtherAttempt => Cell::styled("no: other try", Style::Faint),
            Counts::Illegal => Cell::styled("no: may not follow", Style::Bad),
        };
        table.row([
            said.by.to_string().into(),
            said.state.as_str().into(),
            Cell::maybe(said.note.as_deref()),
            counts,
            (&said.fence).into(),
            clock.moment(said.at).into(),
        ]);
    }
    table.render(output.width(), output.paint())
}

/// Returns a list of tasks.
pub(crate) fn list(reply: &task_list::Reply, output: &Output) -> String {
    if reply.tasks.is_empty() {
        return String::new();
    }
    let clock = Clock::local();
    let mut table = Table::new(&[
        Column::fixed("Id"),
        Column::fixed("State"),
        Column::fixed("Priority"),
        Column::text("Title"),
        Column::text("Who"),
        Column::spare("After"),
        Column::spare("Note"),
        Column::number("Due"),
    ]);
    for task in &reply.tasks {
        let (word, style) = state(task);
        let needs: Vec<&str> = task.after.iter().map(|need| need.id.as_str()).collect();
        table.row([
            Cell::styled(&task.id, Style::Strong),
            Cell::styled(word, style),
            priority(task.priority),
            (&task.title).into(),
            Cell::maybe(Some(&who(task))),
            Cell::maybe(Some(&needs.join(", "))),
            Cell::maybe(task.note.as_deref()),
            Cell::maybe(task.due.map(|due| clock.until(due)).as_deref()),
        ]);
    }
    table.render(output.width(), output.paint())
}

/// Returns tasks side by side, by how far they are.
pub(crate) fn board(reply: &task_list::Reply, output: &Output) -> String {
    let mut columns: [Vec<&Task>; 5] = Default::default();
    for task in &reply.tasks {
        let column = match task.state {
            _ if task.ready => 1,
            State::Submitted if task.holder.is_none() => 0,
            State::Submitted | State::Working => 2,
            State::InputRequired => 3,
            State::Completed | State::Failed | State::Canceled | State::Rejected => 4,
        };
        columns[column].push(task);
    }
    let [waiting, ready, working, input, over] = columns.each_ref().map(Vec::len);
    // What one answer does not hold is in no column.
    let more = if reply.more > 0 { format!(", {} more not counted", reply.more) } else { String::new() };
    let summary =
        format!("{waiting} waiting, {ready} ready, {working} in work, {input} need input, {over} over{more}\n");
    columns[4].sort_by_key(|task| std::cmp::Reverse(task.made));
    columns[4].truncate(MOST_OVER);
    let rows = columns.iter().map(Vec::len).max().unwrap_or(0);
    if rows == 0 {
        return summary;
    }
    let titles = ["Waiting", "Ready", "In work", "Needs input", "Over"];
    let mut table = Table::new(&titles.map(Column::text));
    for row in 0..rows {
        table.row(columns.each_ref().map(|column| column.get(row).map_or_else(|| Cell::from(""), |task| card(task))));
    }
    format!("{}\n{summary}", table.render(output.width(), output.paint()))
}

/// A task on a board.
fn card(task: &Task) -> Cell {
    let (word, style) = state(task);
    let more = match task.state {
        State::Failed | State::Canceled | State::Rejected => Some(word.to_owned()),
        State::Working | State::InputRequired | State::Submitted => {
            task.holder.as_ref().map(|holder| holder.agent.to_string())
        }
        State::Completed => None,
    };
    let more = more.map(|more| format!(" ({more})")).unwrap_or_default();
    Cell::styled(&format!("{}: {}{more}", task.id, cut(&task.title, MOST_TITLE)), style)
}

#[cfg(test)]
mod tests {
    use fedp2p_protocols::api::task::Holder;
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::ui::colour::When;

    fn sample(id: &str, state: State) -> Task {
        Task {
            id: id.to_owned(),
            by: "ada@taichi".parse().unwrap(),
            origin: fedp2p_protocols::api::origin::Origin::default(),
            title: format!("Do {id} with great care and then do it once more"),
            text: None,
            data: None,
            state,
            ready: state == State::Submitted,
            blocked: false,
            priority: Priority::Normal,
            to: Assignee::Anyone,
            after: Vec::new(),
            due: None,
            revision: 1,
            attempt: 1,
            made: 0,
            holder: (state == State::Working).then(|| Holder {
                agent: "coder@baby".parse().unwrap(),
                fence: "7@baby".to_owned(),
                confirmed: true,
                lapsed: false,
            }),
            note: None,
            result: None,
            statements: Vec::new(),
            offer: None,
            canceled: None,
            closed: None,
        }
    }

    #[test]
    fn every_task_stands_in_its_column_of_the_board() {
        let tasks = State::ALL.iter().map(|state| sample(state.as_str(), *state)).collect();
        let shown = board(&task_list::Reply { tasks, more: 0, next: None }, &Output::new(false, When::Never));
        assert!(shown.ends_with("0 waiting, 1 ready, 1 in work, 1 need input, 4 over\n"), "{shown}");
        assert!(shown.contains("working: Do working") && shown.contains("(coder@baby)"), "{shown}");
        assert_eq!(
            board(&task_list::Reply { tasks: Vec::new(), more: 0, next: None }, &Output::new(false, When::Never))
                .lines()
                .count(),
            1
        );
    }

    #[test]
    fn a_board_of_one_page_says_how_many_tasks_it_does_not_count() {
        let tasks = vec![sample("build", State::Working)];
        let reply = task_list::Reply { tasks, more: 7, next: Some("build".to_owned()) };
        let shown = board(&reply, &Output::new(false, When::Never));
        assert!(
            shown.ends_with("0 waiting, 0 ready, 1 in work, 0 need input, 0 over, 7 more not counted\n"),
            "{shown}"
        );
    }

    #[test]
    fn cards_are_short_whatever_a_title_says() {
        let task = Task { title: "x".repeat(256), ..sample("long", State::Submitted) };
        let shown =
            board(&task_list::Reply { tasks: vec![task], more: 0, next: None }, &Output::new(false, When::Never));
        assert!(shown.lines().all(|line| line.width() < 120), "{shown}");
    }

    #[test]
    fn who_holds_a_task_is_named() {
        let shown = task(&sample("build", State::Working), &Output::new(false, When::Never));
        assert!(
            shown.contains("working, by ada@taichi") && shown.contains("held by coder@baby, claim 7@baby"),
            "{shown}"
        );
    }
}
