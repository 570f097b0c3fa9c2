//! What is played: so many nodes, connected so, with these faults.

/// Who may connect to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Everybody to everybody.
    Full,
    /// Each to the next: what one says reaches the other end only through all between.
    Line,
    /// Each to the next two, around.
    Ring,
}

/// What goes wrong while the nodes talk. Everything is healed before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// How often in a hundred a gossip message is lost on one hop.
    pub loss: u64,
    /// How often in a hundred it comes twice.
    pub duplicates: u64,
    /// The longest way of a gossip message, in milliseconds; the shortest is 1, so they overtake each other.
    pub gossip_ms: u64,
    /// The longest way of a sync frame, in milliseconds.
    pub frame_ms: u64,
    /// How many times the network is cut in two, for a while.
    pub partitions: u32,
    /// How many times a process is killed and started again.
    pub crashes: u32,
    /// How many times a machine loses power, and with it the last commits.
    pub power_cuts: u32,
    /// How many times a disk is full, for a while.
    pub full_disks: u32,
    /// How far clocks are off, in milliseconds, either way.
    pub skew_ms: u64,
    /// One node is stopped and comes back with a copy of its home from before.
    pub backup: bool,
    /// One node's home is copied, and both copies run, each in contact with half of the others.
    pub twin: bool,
    /// One node claims to hold more than it does.
    pub liar: bool,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        loss: 0,
        duplicates: 0,
        gossip_ms: 5,
        frame_ms: 5,
        partitions: 0,
        crashes: 0,
        power_cuts: 0,
        full_disks: 0,
        skew_ms: 0,
        backup: false,
        twin: false,
        liar: false,
    };
}

/// One thing to play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// How many nodes.
    pub nodes: usize,
    /// Who may connect to whom.
    pub shape: Shape,
    /// How many calls clients make.
    pub calls: u32,
    /// For how long things go wrong, in seconds.
    pub seconds: u64,
    /// Whether the nodes join by tickets, one after the other, while the first ones already talk.
    pub tickets: bool,
    /// What goes wrong.
    pub faults: Faults,
}

const BASE: Scenario =
    Scenario { name: "", nodes: 3, shape: Shape::Full, calls: 60, seconds: 20, tickets: false, faults: Faults::NONE };

const NONE: Faults = Faults::NONE;

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "calm", ..BASE },
    Scenario { name: "tickets", nodes: 4, tickets: true, ..BASE },
    Scenario {
        name: "lossy-line",
        nodes: 5,
        shape: Shape::Line,
        faults: Faults { loss: 40, duplicates: 30, gossip_ms: 400, frame_ms: 50, ..NONE },
        ..BASE
    },
    Scenario {
        name: "partition",
        nodes: 4,
        faults: Faults { partitions: 3, gossip_ms: 100, ..NONE },
        seconds: 60,
        ..BASE
    },
    Scenario { name: "crashes", faults: Faults { crashes: 6, ..NONE }, seconds: 40, ..BASE },
    Scenario { name: "power", faults: Faults { power_cuts: 4, frame_ms: 50, ..NONE }, seconds: 40, ..BASE },
    Scenario { name: "full-disk", faults: Faults { full_disks: 6, ..NONE }, seconds: 40, ..BASE },
    Scenario { name: "clocks", nodes: 4, faults: Faults { skew_ms: 90_000, ..NONE }, seconds: 40, ..BASE },
    Scenario { name: "backup", nodes: 4, faults: Faults { backup: true, frame_ms: 30, ..NONE }, seconds: 40, ..BASE },
    Scenario { name: "twin", nodes: 5, faults: Faults { twin: true, frame_ms: 30, ..NONE }, seconds: 40, ..BASE },
    Scenario { name: "liar", nodes: 4, faults: Faults { liar: true, frame_ms: 20, ..NONE }, seconds: 40, ..BASE },
    Scenario {
        name: "everything",
        nodes: 6,
        shape: Shape::Ring,
        calls: 120,
        seconds: 90,
        tickets: true,
        faults: Faults {
            loss: 20,
            duplicates: 10,
            gossip_ms: 300,
            frame_ms: 80,
            partitions: 3,
            crashes: 4,
            power_cuts: 2,
            full_disks: 3,
            skew_ms: 50_000,
            ..NONE
        },
    },
    Scenario {
        name: "hostile",
        nodes: 6,
        calls: 100,
        seconds: 90,
        faults: Faults { partitions: 2, crashes: 2, frame_ms: 60, twin: true, liar: true, ..NONE },
        ..BASE
    },
    Scenario { name: "crowd", nodes: 16, calls: 100, faults: Faults { loss: 10, gossip_ms: 50, ..NONE }, ..BASE },
];

/// Finds a scenario by its name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}
