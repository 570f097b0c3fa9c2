//! Networks whose cables can be made bad: network namespaces, each with a TAP interface, and a switch in this process
//! that forwards their frames as [`cable`](crate::cable) decides.
//!
//! A cut is not told to the interfaces, as when something breaks far away. The threads that forward end, and the
//! interfaces with them, when the [`Switch`] is dropped.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tappers::{Interface, Tap};

use crate::cable::{Conditions, Counts, Way};
use crate::lab::{self, Namespaces, must, run, unique};

/// Largest frame: an Ethernet header and 1,500 bytes, with room for a tag.
const FRAME_BYTES: usize = 1_522;
/// Most frames that are on their way; more are lost, as in a switch whose memory is full.
const MAX_IN_FLIGHT: usize = 65_536;
/// How often an interface that is down is looked at.
const DOWN: Duration = Duration::from_millis(10);

/// A direction, as the node at the cable sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the node into the network.
    Out,
    /// From the network to the node.
    In,
}

/// Whether there can be such a network here. A test that needs one and has none says why and passes.
pub fn is_available() -> bool {
    lab::is_available() && std::path::Path::new("/dev/net/tun").exists()
}

/// The network.
#[derive(Debug)]
pub struct Switch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    namespaces: Namespaces,
}

#[derive(Debug)]
struct Shared {
    fabric: Mutex<Fabric>,
    news: Condvar,
}

/// A frame and the cable to which it is bound.
type Bound = (usize, Arc<[u8]>);

/// A cable, by direction.
#[derive(Debug)]
struct Cable {
    out: Way,
    into: Way,
}

/// Everything that decides about frames.
#[derive(Debug)]
struct Fabric {
    started: Instant,
    cables: Vec<Cable>,
    /// Behind which cable an address was last seen.
    places: HashMap<[u8; 6], usize>,
    /// Frames on their way, by arrival and number.
    in_flight: BTreeMap<(u64, u64), Bound>,
    next: u64,
    stopped: bool,
}

impl Switch {
    /// Makes as many namespaces as there are names, with the addresses 10.77.0.1 and so on; `seed` decides the fate of
    /// every frame.
    ///
    /// # Panics
    /// If the system does not let it.
    pub fn new(names: &[&str], seed: u64) -> Self {
        let mut namespaces = Namespaces::default();
        let mut taps = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let namespace = namespaces.add(name).to_owned();
            let draft = unique("t");
            let tap = Tap::new_named(Interface::new(&draft).expect("a short name")).expect("TAP interfaces work");
            must("ip", &["link", "set", &draft, "netns", &namespace, "name", "eth0"]);
            namespaces.configure(index);
            taps.push(Arc::new(tap));
        }
        let shared = Arc::new(Shared { fabric: Mutex::new(Fabric::new(names.len(), seed)), news: Condvar::new() });
        let mut threads = Vec::new();
        for (port, tap) in taps.iter().enumerate() {
            let (tap, shared) = (Arc::clone(tap), Arc::clone(&shared));
            threads.push(std::thread::spawn(move || listen(port, &tap, &shared)));
        }
        let delivering = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || deliver(&taps, &delivering)));
        Self { shared, threads, namespaces }
    }

    /// The name of a namespace.
    pub fn namespace(&self, index: usize) -> &str {
        self.namespaces.name(index)
    }

    /// Changes both directions of a cable.
    pub fn set(&self, index: usize, conditions: Conditions) {
        for direction in [Direction::Out, Direction::In] {
            self.set_way(index, direction, conditions);
        }
    }

    /// Changes one direction of a cable.
    pub fn set_way(&self, index: usize, direction: Direction, conditions: Conditions) {
        self.shared.fabric.lock().unwrap().way(index, direction).set(conditions);
    }

    /// Changes every cable.
    pub fn set_all(&self, conditions: Conditions) {
        let cables = self.shared.fabric.lock().unwrap().cables.len();
        (0..cables).for_each(|index| self.set(index, conditions));
    }

    /// What became of the frames of one direction.
    pub fn counts(&self, index: usize, direction: Direction) -> Counts {
        self.shared.fabric.lock().unwrap().way(index, direction).counts()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // A thread that waits for a frame ends when its interface is gone.
        for index in 0..self.namespaces.len() {
            drop(run("ip", &["-n", self.namespaces.name(index), "link", "del", "eth0"]));
        }
        self.shared.fabric.lock().unwrap().stopped = true;
        self.shared.news.notify_all();
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Fabric {
    fn new(cables: usize, seed: u64) -> Self {
        let way = |number: u64| Way::new(seed.wrapping_mul(1_000).wrapping_add(number));
        let cable = |index: u64| Cable { out: way(2 * index), into: way(2 * index + 1) };
        Self {
            started: Instant::now(),
            cables: (0..cables as u64).map(cable).collect(),
            places: HashMap::new(),
            in_flight: BTreeMap::new(),
            next: 0,
            stopped: false,
        }
    }

    fn way(&mut self, index: usize, direction: Direction) -> &mut Way {
        let cable = &mut self.cables[index];
        match direction {
            Direction::Out => &mut cable.out,
            Direction::In => &mut cable.into,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Takes a frame that a node sent.
    fn accept(&mut self, from: usize, frame: &[u8], now: u64) {
        let (Some(target), Some(source)) = (address(frame, 0), address(frame, 6)) else { return };
        let arrivals: Vec<u64> = self.cables[from].out.pass(frame.len(), now).collect();
        if arrivals.is_empty() {
            return;
        }
        self.places.insert(source, from);
        // The lowest bit of the first byte tells broadcasts and multicasts.
        let known = self.places.get(&target).copied().filter(|_| target[0] & 1 == 0);
        let targets = (0..self.cables.len()).filter(|to| *to != from && known.is_none_or(|known| known == *to));
        let frame: Arc<[u8]> = frame.into();
        for to in targets.collect::<Vec<_>>() {
            for at_switch in &arrivals {
                for arrival in self.cables[to].into.pass(frame.len(), *at_switch) {
                    if self.in_flight.len() < MAX_IN_FLIGHT {
                        self.in_flight.insert((arrival, self.next), (to, Arc::clone(&frame)));
                        self.next += 1;
                    }
                }
            }
        }
    }

    /// Returns the frames that arrive now, and how long it is until the next one does.
    fn due(&mut self, now: u64) -> (Vec<Bound>, Option<Duration>) {
        let mut due = Vec::new();
        while let Some(first) = self.in_flight.first_entry().filter(|first| first.key().0 <= now) {
            let (to, frame) = first.remove();
            // What was on its way when the cable broke does not arrive.
            if !self.cables[to].into.conditions().cut {
                due.push((to, frame));
            }
        }
        let next = self.in_flight.first_key_value().map(|((at, _), _)| Duration::from_nanos(at - now));
        (due, next)
    }
}

fn address(frame: &[u8], at: usize) -> Option<[u8; 6]> {
    frame.get(at..at + 6)?.try_into().ok()
}

/// Forwards what comes from one interface until that is gone.
fn listen(port: usize, tap: &Tap, shared: &Shared) {
    let mut frame = [0; FRAME_BYTES];
    loop {
        match tap.recv(&mut frame) {
            Ok(length) => {
                let mut fabric = shared.fabric.lock().unwrap();
                let now = fabric.now();
                fabric.accept(port, &frame[..length], now);
                shared.news.notify_one();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The interface is down: what it sends is lost before it comes here.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => std::thread::sleep(DOWN),
            Err(_) => return,
        }
    }
}

/// Delivers frames when their time has come, until it is told to stop.
fn deliver(taps: &[Arc<Tap>], shared: &Shared) {
    let mut fabric = shared.fabric.lock().unwrap();
    while !fabric.stopped {
        let now = fabric.now();
        let (due, next) = fabric.due(now);
        if !due.is_empty() {
            drop(fabric);
            for (to, frame) in due {
                // An interface that is down, gone or full loses frames like any other.
                drop(taps[to].send(&frame));
            }
            fabric = shared.fabric.lock().unwrap();
            continue;
        }
        fabric = match next {
            Some(next) => shared.news.wait_timeout(fabric, next).unwrap().0,
            None => shared.news.wait(fabric).unwrap(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame between the nodes `to` and `from`.
    fn frame(to: u8, from: u8) -> Vec<u8> {
        [[to; 6].as_slice(), &[from; 6], &[0; 100]].concat()
    }

    fn arrivals(fabric: &mut Fabric) -> Vec<usize> {
        fabric.due(u64::MAX).0.into_iter().map(|(to, _)| to).collect()
    }

    #[test]
    fn a_frame_goes_where_its_address_was_seen_and_else_everywhere() {
        let mut fabric = Fabric::new(3, 1);
        fabric.accept(0, &frame(2, 4), 0);
        assert_eq!(arrivals(&mut fabric), [1, 2]);
        fabric.accept(2, &frame(4, 2), 0);
        assert_eq!(arrivals(&mut fabric), [0]);
        fabric.accept(0, &frame(2, 4), 0);
        assert_eq!(arrivals(&mut fabric), [2]);
        fabric.accept(0, &frame(0xff, 4), 0);
        assert_eq!(arrivals(&mut fabric), [1, 2]);
    }

    #[test]
    fn the_fate_of_every_frame_follows_from_the_seed() {
        let fates = |seed| {
            let mut fabric = Fabric::new(2, seed);
            for cable in &mut fabric.cables {
                cable.out.set(Conditions::loss(0.1));
                cable.into.set(Conditions { duplication: 0.1, ..Conditions::loss(0.1) });
            }
            let passed: Vec<usize> = (0..500)
                .map(|number| {
                    fabric.accept(0, &frame(2, 4), number);
                    arrivals(&mut fabric).len()
                })
                .collect();
            (passed, fabric.cables[1].into.counts())
        };
        let (passed, counts) = fates(9);
        assert_eq!((passed.clone(), counts), fates(9));
        assert_ne!(passed, fates(10).0);
        assert!(passed.contains(&0) && passed.contains(&2) && counts.lost > 0);
    }

    #[test]
    fn a_cut_loses_what_is_on_its_way_and_only_its_own_direction() {
        let mut fabric = Fabric::new(2, 1);
        fabric.accept(0, &frame(2, 4), 0);
        fabric.cables[1].into.set(Conditions::cut());
        assert!(arrivals(&mut fabric).is_empty());
        fabric.accept(0, &frame(2, 4), 1);
        assert!(arrivals(&mut fabric).is_empty());
        fabric.accept(1, &frame(4, 2), 1);
        assert_eq!(arrivals(&mut fabric), [0]);
    }
}
