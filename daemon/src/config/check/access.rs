//! Who is answered, and how often.

use super::super::{ClientSpec, names, raw};
use super::values::network;
use super::{Check, DAY, MINUTE, answer_text, list};
use crate::core::access::Action;
use crate::core::network::Network;
use crate::core::{quota, rate};
use toml::Spanned;

impl Check<'_, '_> {
    /// `clients` of a table; `zone` is where it holds, if in one zone only.
    pub(super) fn clients(
        &mut self,
        raw: Option<Spanned<raw::ClientList>>,
        table: &str,
        zone: Option<&str>,
    ) -> Option<ClientSpec> {
        let raw = raw?;
        let at = raw.span();
        let raw::ClientList(raw) = raw.into_inner();
        let key = |key: &str| format!("{key} in clients of {table}");
        let words = [
            ("allow", Action::Allow),
            ("refuse", Action::Refuse),
            ("drop", Action::Drop),
            ("empty", Action::Empty),
            ("code", Action::Code),
        ];
        let otherwise = self.one_of(raw.default.as_ref(), &key("default"), &words);
        let mut rules = Vec::new();
        for (name, networks, action) in [
            ("allow", raw.allow, Action::Allow),
            ("refuse", raw.refuse, Action::Refuse),
            ("drop", raw.drop, Action::Drop),
            ("empty", raw.empty, Action::Empty),
            ("coded", raw.coded, Action::Code),
        ] {
            let networks = self.each(&list(networks), &key(name), network);
            rules.extend(networks.into_iter().map(|network| (network, action)));
        }
        let code = self.parse(raw.code.as_ref(), &key("code"), names::denial_code);
        // Said in every zone; in one of a long name its end may have no room.
        let fits = |text: &str| answer_text(text, zone.unwrap_or("bl.example"));
        let text = self.parse(raw.text.as_ref(), &key("text"), fits).unwrap_or_default();
        let needed = otherwise == Action::Code || rules.iter().any(|(_, action)| *action == Action::Code);
        if needed && raw.code.is_none() {
            let hint =
                "add code = \"127.255.255.254\", or use \"refuse\", which no mail server takes for a listing";
            self.report.error(at, format!("missing key in clients of {table}"), "code".into(), hint);
        }
        Some(ClientSpec { rules, otherwise, coded: code.map(|code| (code, text)) })
    }

    pub(super) fn rate_limit(&mut self, raw: raw::RateLimit) -> (rate::Settings, Vec<Network>) {
        let key = |key: &str| format!("{key} in [dns.rate_limit]");
        let per_second = 0..=rate::MAX_PER_SECOND;
        let settings = rate::Settings {
            answers_per_second: self.number(
                raw.answers_per_second.as_ref(),
                &key("answers_per_second"),
                0,
                per_second.clone(),
            ),
            errors_per_second: self.number(
                raw.errors_per_second.as_ref(),
                &key("errors_per_second"),
                0,
                per_second,
            ),
            v4_prefix: self.number(raw.ipv4_prefix.as_ref(), &key("ipv4_prefix"), 24, 8..=32),
            v6_prefix: self.number(raw.ipv6_prefix.as_ref(), &key("ipv6_prefix"), 56, 16..=128),
            slip: self.number(raw.slip.as_ref(), &key("slip"), 2, 0..=u8::MAX),
        };
        (settings, self.each(&list(raw.exempt), &key("exempt"), network))
    }

    pub(super) fn quota(&mut self, raw: raw::Quota) -> (Option<quota::Settings>, Vec<Network>) {
        let key = |key: &str| format!("{key} in [dns.quota]");
        let most = u32::MAX / 2;
        let queries = raw.queries.as_ref();
        let queries = queries.map(|_| self.number(queries, &key("queries"), 1, 1..=most));
        let period = (MINUTE, 31 * DAY);
        let period = self.duration(raw.period.as_ref(), &key("period"), DAY, period, "");
        let v4_prefix = self.number(raw.ipv4_prefix.as_ref(), &key("ipv4_prefix"), 32, 8..=32);
        let v6_prefix = self.number(raw.ipv6_prefix.as_ref(), &key("ipv6_prefix"), 64, 16..=128);
        // A month is far below 32 bits.
        let period = u32::try_from(period.as_secs()).unwrap_or(quota::MAX_PERIOD);
        let settings = queries.map(|queries| quota::Settings { queries, period, v4_prefix, v6_prefix });
        (settings, self.each(&list(raw.exempt), &key("exempt"), network))
    }
}
