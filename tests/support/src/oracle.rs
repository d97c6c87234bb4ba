//! The slow, obvious model every fast lookup is compared with.

/// An inclusive run of addresses (`u32` or `u128`) and what is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule<A> {
    /// Lowest address.
    pub first: A,
    /// Highest address.
    pub last: A,
    /// 0 says "not listed", a hole in a wider rule.
    pub value: u32,
}

/// Rules that may overlap: the narrowest that covers an address wins, of equal ones the last.
#[derive(Clone, Debug)]
pub struct Oracle<A> {
    rules: Vec<Rule<A>>,
}

impl<A: Copy + Ord + Into<u128> + TryFrom<u128>> Oracle<A> {
    /// The model of these rules.
    pub fn new(rules: Vec<Rule<A>>) -> Self {
        Self { rules }
    }

    /// What the rules say of `address`, 0 when none covers it. Reads all rules.
    pub fn lookup(&self, address: A) -> u32 {
        let covering = self.rules.iter().rev().filter(|r| r.first <= address && address <= r.last);
        covering.min_by_key(|r| r.last.into() - r.first.into()).map_or(0, |r| r.value)
    }

    /// Every first and last address of a rule and its neighbours on both sides, sorted.
    pub fn borders(&self) -> Vec<A> {
        let ends = self.rules.iter().flat_map(|r| [r.first.into(), r.last.into()]);
        let around = ends.flat_map(|end: u128| [end.checked_sub(1), Some(end), end.checked_add(1)]);
        let mut borders: Vec<A> = around.flatten().filter_map(|a| A::try_from(a).ok()).collect();
        borders.sort_unstable();
        borders.dedup();
        borders
    }

    /// The rules as disjoint runs in address order, equal neighbours joined, holes left out.
    ///
    /// Every change of value is at a border, and between two borders nothing changes.
    pub fn flatten(&self) -> Vec<Rule<A>> {
        let borders = self.borders();
        let mut runs: Vec<Rule<A>> = Vec::new();
        for (i, &first) in borders.iter().enumerate() {
            let value = self.lookup(first);
            let next = borders.get(i + 1).map(|&next| next.into() - 1);
            // Behind the last border there is nothing but what the last border itself has.
            let last = next.and_then(|a| A::try_from(a).ok()).unwrap_or(first);
            match runs.last_mut() {
                Some(run) if run.value == value && run.last.into() + 1 == first.into() => run.last = last,
                _ => runs.push(Rule { first, last, value }),
            }
        }
        runs.retain(|run| run.value != 0);
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowest_rule_wins_and_holes_stay() {
        let oracle = Oracle::new(vec![
            Rule { first: 0u32, last: 255, value: 1 },
            Rule { first: 16, last: 31, value: 2 },
            Rule { first: 20, last: 20, value: 0 },
        ]);
        assert_eq!([0, 16, 20, 31, 32, 256].map(|a| oracle.lookup(a)), [1, 2, 0, 2, 1, 0]);
        let runs: Vec<_> = oracle.flatten().iter().map(|r| (r.first, r.last, r.value)).collect();
        assert_eq!(runs, [(0, 15, 1), (16, 19, 2), (21, 31, 2), (32, 255, 1)]);
    }

    #[test]
    fn flattens_up_to_the_ends_of_the_address_space() {
        let whole = Oracle::new(vec![
            Rule { first: 0u128, last: u128::MAX, value: 3 },
            Rule { first: u128::MAX, last: u128::MAX, value: 4 },
        ]);
        let runs: Vec<_> = whole.flatten().iter().map(|r| (r.first, r.last, r.value)).collect();
        assert_eq!(runs, [(0, u128::MAX - 1, 3), (u128::MAX, u128::MAX, 4)]);
    }
}
