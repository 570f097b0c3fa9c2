//! Tasks that come after each other in a circle.
//!
//! Two halves of a cut network can each put a task after another so that together they make a circle. No order of
//! work satisfies it, so within a circle a task waits only for those with a smaller key: that leaves an order, and the
//! same one everywhere.

use std::collections::BTreeMap;

use fedp2p_protocols::task::TaskKey;

use crate::picture::Picture;

/// Which circle each task is in.
#[derive(Debug)]
pub(super) struct Circles {
    numbers: BTreeMap<TaskKey, usize>,
    /// Tasks of which each comes after the other, perhaps by way of others, are of one component.
    components: Vec<usize>,
}

impl Circles {
    /// Looks at these tasks and at everything that they come after.
    pub(super) fn among(picture: &Picture<'_>, tasks: impl IntoIterator<Item = TaskKey>) -> Self {
        let mut numbers = BTreeMap::new();
        let mut found: Vec<TaskKey> = Vec::new();
        let mut number_of = |key: &TaskKey, found: &mut Vec<TaskKey>| {
            *numbers.entry(key.clone()).or_insert_with(|| {
                found.push(key.clone());
                found.len() - 1
            })
        };
        for key in tasks {
            number_of(&key, &mut found);
        }
        let mut after: Vec<Vec<usize>> = Vec::new();
        while let Some(key) = found.get(after.len()) {
            let needs = picture.task(key).map(|task| task.after.as_slice()).unwrap_or_default();
            after.push(needs.iter().map(|need| number_of(need, &mut found)).collect());
        }
        Self { numbers, components: components(&after) }
    }

    /// Whether each of the two comes after the other.
    pub(super) fn are_in_one(&self, one: &TaskKey, other: &TaskKey) -> bool {
        let component = |key: &TaskKey| self.numbers.get(key).map(|number| self.components[*number]);
        component(one).is_some() && component(one) == component(other)
    }
}

/// Returns the tasks from `from` to `to` of which each comes after the next, if `from` comes after `to` in that way.
pub fn way(picture: &Picture<'_>, from: &TaskKey, to: &TaskKey) -> Option<Vec<TaskKey>> {
    // Each task that was reached, with the one that comes after it.
    let mut reached: BTreeMap<TaskKey, Option<TaskKey>> = BTreeMap::from([(from.clone(), None)]);
    let mut open = vec![from.clone()];
    while let Some(key) = open.pop() {
        if key == *to {
            let mut way = vec![key];
            while let Some(Some(above)) = way.last().and_then(|last| reached.get(last)) {
                way.push(above.clone());
            }
            way.reverse();
            return Some(way);
        }
        for need in picture.task(&key).map(|task| task.after.as_slice()).unwrap_or_default() {
            if !reached.contains_key(need) {
                reached.insert(need.clone(), Some(key.clone()));
                open.push(need.clone());
            }
        }
    }
    None
}

/// Returns the strongly connected component of each node of a graph: Tarjan's algorithm, without recursion, as a member
/// may write a chain of any length.
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let mut walk = Walk { index: vec![NONE; edges.len()], low: vec![NONE; edges.len()], open: Vec::new() };
    let mut component = vec![NONE; edges.len()];
    let mut next = 0;
    for root in 0..edges.len() {
        let mut way = if walk.index[root] == NONE { vec![(root, 0)] } else { Vec::new() };
        while let Some((node, edge)) = way.last_mut() {
            let node = *node;
            if *edge == 0 {
                (walk.index[node], walk.low[node]) = (next, next);
                walk.open.push(node);
                next += 1;
            }
            if let Some(&to) = edges[node].get(*edge) {
                *edge += 1;
                if walk.index[to] == NONE {
                    way.push((to, 0));
                } else if component[to] == NONE {
                    walk.low[node] = walk.low[node].min(walk.index[to]);
                }
                continue;
            }
            walk.close(node, &mut component);
            way.pop();
            if let Some((above, _)) = way.last() {
                walk.low[*above] = walk.low[*above].min(walk.low[node]);
            }
        }
    }
    component
}

/// The state of the walk: when each node was found, the earliest one that it leads back to, and those whose component is
/// not known yet.
struct Walk {
    index: Vec<usize>,
    low: Vec<usize>,
    open: Vec<usize>,
}

impl Walk {
    /// Ends the component of a node that leads back to none before it.
    fn close(&mut self, node: usize, component: &mut [usize]) {
        if self.low[node] != self.index[node] {
            return;
        }
        while let Some(member) = self.open.pop() {
            component[member] = node;
            if member == node {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_chains_are_none() {
        // 0 → 1 → 2 → 0, 2 → 3 → 4, 5 → 5
        let edges = [vec![1], vec![2], vec![3, 0], vec![4], vec![], vec![5]];
        let found = components(&edges);
        assert!(found[0] == found[1] && found[1] == found[2]);
        let distinct: std::collections::BTreeSet<_> = found.iter().collect();
        assert_eq!(distinct.len(), 4);
    }

    #[test]
    fn a_chain_of_any_length_is_walked() {
        let edges: Vec<Vec<usize>> = (0..100_000).map(|node| if node > 0 { vec![node - 1] } else { vec![] }).collect();
        let found = components(&edges);
        assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), edges.len());
    }
}
