//! The domain table against a linear model, and on damaged bytes.

use super::*;
use blackthorn_common::payload::Class;
use blackthorn_testkit::domains::{self, DomainOracle, listed_names, wire};
use blackthorn_testkit::random::Random;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn payload(value: u32) -> Payload {
    Payload::new(Class::Answer, value).unwrap()
}

fn rule(name: &str, scope: Scope, value: u32) -> domains::DomainRule {
    let (itself, below) = (scope.has_name(), scope.has_below());
    domains::DomainRule { name: wire(name), itself, below, value }
}

/// `example.com`, `.example.com` or `*.example.com`, with `!` in front to exclude.
fn rules(texts: &[&str]) -> Vec<domains::DomainRule> {
    let read = |(text, number): (&&str, u32)| {
        let (text, value) = text.strip_prefix('!').map_or((*text, number), |text| (text, 0));
        match (text.strip_prefix("*."), text.strip_prefix('.')) {
            (Some(name), _) => rule(name, Scope::Below, value),
            (_, Some(name)) => rule(name, Scope::Subtree, value),
            _ => rule(text, Scope::Exact, value),
        }
    };
    texts.iter().zip(1..).map(read).collect()
}

fn compile(rules: &[domains::DomainRule]) -> DomainTable {
    let scope = |rule: &domains::DomainRule| match (rule.itself, rule.below) {
        (true, true) => Scope::Subtree,
        (false, _) => Scope::Below,
        (true, false) => Scope::Exact,
    };
    let rule = |rule| DomainRule { name: rule_name(rule), scope: scope(rule), payload: payload(rule.value) };
    DomainTable::compile(&rules.iter().map(rule).collect::<Vec<_>>()).unwrap()
}

fn rule_name(rule: &domains::DomainRule) -> &[u8] {
    &rule.name
}

fn find(table: &DomainTable, name: &[u8]) -> Found {
    let message = [name, b"\x02bl\x07example\x00"].concat();
    let question = QuestionName::read(&message).unwrap();
    let found = table.find(&question, question.labels() - 2);
    let mut labels: Vec<&[u8]> = super::super::domain::labels(name).into_iter().flatten().collect();
    labels.reverse();
    assert_eq!(table.find_labels(labels), found);
    found
}

fn lookup(table: &DomainTable, name: &str) -> u32 {
    find(table, &wire(name)).payload.listing()
}

fn everything(_: Payload) -> bool {
    true
}

#[test]
fn each_scope_covers_what_it_says() {
    let table = compile(&rules(&["example.com", ".wide.example", "*.wild.example"]));
    for (name, value) in [
        ("example.com", 1),
        ("EXAMPLE.Com", 1),
        ("www.example.com", 0),
        ("com", 0),
        ("example.co", 0),
        ("xample.com", 0),
        ("wide.example", 2),
        ("a.b.c.wide.example", 2),
        ("notwide.example", 0),
        ("wild.example", 0),
        ("a.wild.example", 3),
        ("a.b.wild.example", 3),
        ("", 0),
    ] {
        assert_eq!(lookup(&table, name), value, "{name}");
    }
}

#[test]
fn the_most_specific_entry_decides_and_exclusions_win_ties() {
    let table = compile(&rules(&[
        ".shop.example",
        "!.good.shop.example",
        "bad.good.shop.example",
        "!lone.shop.example",
        "tie.example",
        "!tie.example",
        "*.tie.example",
    ]));
    for (name, value) in [
        ("shop.example", 1),
        ("x.shop.example", 1),
        ("good.shop.example", 0),
        ("x.good.shop.example", 0),
        ("bad.good.shop.example", 3),
        ("x.bad.good.shop.example", 0),
        ("lone.shop.example", 0),
        ("x.lone.shop.example", 1),
        ("tie.example", 0),
        ("x.tie.example", 7),
    ] {
        assert_eq!(lookup(&table, name), value, "{name}");
    }
}

#[test]
fn names_above_listed_ones_exist() {
    let table =
        compile(&rules(&["a.example.com", "*.wild.net", ".x.org", "!.x.x.org", "!gone.org", "!y.x.org"]));
    let presence = DomainPresence::collect(&table, everything);
    let exists = |name: &str| presence.exists_below(&find(&table, &wire(name)), everything);
    for name in ["", "com", "example.com", "net", "wild.net", "org", "x.org", "y.x.org", "q.wild.net"] {
        assert!(exists(name), "{name}");
    }
    for name in ["a.example.com", "b.example.com", "info", "x.x.org", "gone.org", "q.x.x.org"] {
        assert!(!exists(name), "{name}");
    }
    // A zone that shows the first listing only.
    let first = |payload: Payload| payload.listing() == 1;
    let presence = DomainPresence::collect(&table, first);
    let exists = |name: &str| presence.exists_below(&find(&table, &wire(name)), first);
    assert!(exists("com") && exists("example.com") && exists(""));
    assert!(!exists("net") && !exists("wild.net") && !exists("org") && !exists("x.org"));
    let nothing = DomainPresence::collect(&table, |_| false);
    assert!(!nothing.exists_below(&find(&table, b""), |_| false));
}

#[test]
fn what_changes_nothing_takes_no_space() {
    let plain = compile(&rules(&[".example.com"]));
    let padded = rules(&[".example.com", "!nothing.example", "!.none.example"]);
    let below = ["www.example.com", ".a.b.example.com", "*.example.com"].map(|name| {
        let [rule] = &mut rules(&[name])[..] else { unreachable!() };
        rule.clone()
    });
    assert_eq!(compile(&[&padded[..], &below].concat()), plain);
}

#[test]
fn empty_tables_know_nothing() {
    let empty = compile(&[]);
    assert_eq!(empty, DomainTable::default());
    assert_eq!(compile(&rules(&["!.example.com"])).words().len(), empty.words().len());
    assert_eq!(lookup(&empty, "example.com"), 0);
    assert!(empty.is_intact());
    let presence = DomainPresence::collect(&empty, everything);
    assert!(!presence.exists_below(&find(&empty, b""), everything));
}

#[test]
fn rules_without_a_name_are_refused() {
    let good = DomainRule { name: b"\x01a", scope: Scope::Exact, payload: payload(1) };
    for name in [&b""[..], b"\x00", b"\x05a", &[1; 256]] {
        let compiled = DomainTable::compile(&[good, DomainRule { name, ..good }]);
        assert_eq!(compiled, Err(DomainTableError::NotAName { number: 1 }));
    }
}

#[test]
fn the_longest_names_work() {
    let deepest = [1u8, b'a'].repeat(127);
    let long = [&[63; 64][..], &[63; 64], &[63; 64], &[61; 62]].concat();
    let both = [&deepest, &long].map(|name| DomainRule { name, scope: Scope::Exact, payload: payload(5) });
    let table = DomainTable::compile(&both).unwrap();
    let found = |name: &[u8]| {
        let message = [name, b"\0"].concat();
        let question = QuestionName::read(&message).unwrap();
        table.find(&question, question.labels())
    };
    let presence = DomainPresence::collect(&table, everything);
    for name in [&deepest, &long] {
        assert_eq!(found(name).payload, payload(5));
        let above = &name[1 + usize::from(name[0])..];
        assert_eq!(found(above).payload, Payload::NONE);
        assert!(presence.exists_below(&found(above), everything));
    }
    assert_eq!(table.find_labels([&[b'a'; 64][..]]).payload, Payload::NONE);
    assert_eq!(table.find_labels([&b""[..]]).payload, Payload::NONE);
}

#[test]
fn many_names_agree_with_a_map() {
    let names = listed_names(1, 20_000);
    let rules: Vec<DomainRule<'_>> = names
        .iter()
        .zip(1..)
        .map(|(name, value)| DomainRule { name, scope: Scope::Exact, payload: payload(value) })
        .collect();
    let table = DomainTable::compile(&rules).unwrap();
    assert!(table.is_intact());
    let mut lowest = std::collections::HashMap::new();
    for rule in &rules {
        lowest.entry(rule.name).or_insert(rule.payload);
    }
    for name in names.iter().chain(&listed_names(2, 20_000)) {
        let expected = lowest.get(&name[..]).copied().unwrap_or_default();
        assert_eq!(find(&table, name).payload, expected, "{}", super::super::domain::dotted(name));
    }
    let mut turned = rules;
    turned.reverse();
    assert_eq!(DomainTable::compile(&turned).unwrap(), table);
}

/// Names from few labels, so that they nest, with everything a label may hold.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    const LABELS: [&[u8]; 9] = [b"a", b"A", b"b", b"\0", b"\xff", b"a.b", b"\x01a", &[b'x'; 40], &[b'X'; 63]];
    vec(select(&LABELS[..]), 1..5)
        .prop_map(|labels| labels.iter().flat_map(|label| [&[label.len() as u8], *label].concat()).collect())
        .prop_filter("too long for a question in the zone", |name: &Vec<u8>| name.len() < 220)
}

fn any_rules() -> impl Strategy<Value = Vec<domains::DomainRule>> {
    let scope = select(&[(true, false), (true, true), (false, true)][..]);
    let rule = (any_name(), scope, 0..4u32).prop_map(|(name, (itself, below), value)| domains::DomainRule {
        name,
        itself,
        below,
        value,
    });
    vec(rule, 0..40)
}

/// Bytes on a 4-byte boundary.
struct Words(Vec<u32>);

// SAFETY: a vector keeps its place when it is moved, and nothing changes it.
unsafe impl Bytes for Words {
    fn bytes(&self) -> &[u8] {
        as_bytes(&self.0)
    }
}

fn within(words: Vec<u32>) -> Result<DomainTable, DomainImageError> {
    let len = words.len() * 4;
    DomainTable::within(&(Arc::new(Words(words)) as Arc<dyn Bytes>), 0, len)
}

#[test]
fn images_are_read_where_they_lie_and_others_refused() {
    let table = compile(&rules(&[".example.com", "!a.example.com", "example.net"]));
    let words = table.words().to_vec();
    assert_eq!(within(words.clone()).unwrap(), table);
    let with = |at: usize, word: u32| {
        let mut words = words.clone();
        words[at] = word;
        within(words)
    };
    assert_eq!(with(header::AT_MAGIC, 0), Err(DomainImageError::NoImage));
    assert_eq!(with(header::AT_VERSION, 9), Err(DomainImageError::Version { found: 9 }));
    for at in [header::AT_BUCKETS, header::AT_RECORD_OCTETS, header::AT_BRANCHES] {
        for word in [words[at] + 4, u32::MAX] {
            if (at, word) != (header::AT_BRANCHES, words[at] + 4) {
                assert_eq!(with(at, word), Err(DomainImageError::Size { bytes: words.len() * 4 }), "{at}");
            }
        }
    }
    assert!(matches!(within(words[..words.len() - 1].to_vec()), Err(DomainImageError::Size { .. })));
    assert_eq!(within(Vec::new()), Err(DomainImageError::NoImage));
    let owner = Arc::new(Words(words.clone())) as Arc<dyn Bytes>;
    assert_eq!(DomainTable::within(&owner, 4, words.len() * 4), Err(DomainImageError::Place));
    assert_eq!(DomainTable::within(&owner, 0, 63), Err(DomainImageError::Size { bytes: 63 }));
    let damaged = with(words.len() - 1, !words[words.len() - 1]).unwrap();
    assert!(table.is_intact() && !damaged.is_intact());
}

proptest! {
    #[test]
    fn answers_are_those_of_the_model(rules in any_rules(), asked in vec(any_name(), 0..20)) {
        let oracle = DomainOracle::new(&rules);
        let table = compile(&rules);
        let presence = DomainPresence::collect(&table, everything);
        for name in rules.iter().map(|rule| &rule.name).chain(&asked) {
            let mut rest = &name[..];
            loop {
                let found = find(&table, rest);
                prop_assert_eq!(found.payload, payload(oracle.lookup(rest)), "{:?}", rest);
                prop_assert_eq!(presence.exists_below(&found, everything), oracle.exists_below(rest), "{:?}", rest);
                let Some((&len, behind)) = rest.split_first() else { break };
                rest = &behind[usize::from(len)..];
            }
        }
    }

    #[test]
    fn the_order_of_rules_means_nothing(rules in any_rules(), seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let mut other = rules.clone();
        other.sort_by_cached_key(|_| random.bits());
        prop_assert_eq!(compile(&rules), compile(&other));
    }

    /// Whatever the bytes, lookups end and stay inside.
    #[test]
    fn damaged_images_answer_something(
        rules in any_rules(),
        damage in vec((any::<prop::sample::Index>(), any::<u32>(), any::<bool>()), 1..12),
        asked in vec(any_name(), 1..20),
    ) {
        let mut words = compile(&rules).words().to_vec();
        for (at, word, flip) in damage {
            let at = at.index(words.len());
            words[at] = if flip { words[at] ^ 1 << (word % 32) } else { word };
        }
        if let Ok(table) = within(words) {
            let presence = DomainPresence::collect(&table, everything);
            for name in rules.iter().map(|rule| &rule.name).chain(&asked) {
                presence.exists_below(&find(&table, name), everything);
            }
        }
    }
}
