//! What the gateway is built from: who is let in, its certificate, its channels.
//!
//! Without tokens it is open on loopback, and administering takes a token that is made for the run.
//! With tokens, whoever shows none may do nothing, unless `allow_anonymous` says otherwise.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use gateway::{Access, GatewayOptions, Rights, Tls, TokenHash};

use super::check::Check;
use super::sections::{Config, TokenConfig};
use super::tree::{Path, Step};

/// Tokens that a gateway knows at most, with that of the run.
const TOKENS_MAX: usize = 999;
/// Names that mean somebody else: who shows no token, and whoever has that of the run.
const OTHERS: [&str; 2] = ["anonymous", ADMIN_OF_RUN];
/// The name of the token that is made for a run.
pub(crate) const ADMIN_OF_RUN: &str = "admin-of-this-run";

impl Config {
    /// What the gateway is built from, with the certificate read from its files.
    ///
    /// # Errors
    /// When the certificate or its key cannot be read or used, which names the file.
    pub(crate) fn gateway_options(&self) -> Result<GatewayOptions> {
        let gateway = &self.gateway;
        let channels = gateway.channels.iter();
        Ok(GatewayOptions {
            allowed_origins: gateway.allowed_origins.clone(),
            body_bytes_max: gateway.max_body,
            websockets_max: gateway.max_websockets,
            connections_max: gateway.max_connections,
            connections_per_address_max: gateway.max_connections_per_address,
            future_max: self.input.max_future,
            access: self.access()?,
            allow_anonymous: gateway.allow_anonymous,
            tls: self.tls()?,
            tick: gateway.tick,
            channels: channels
                .map(|(name, channel)| (name.clone(), channel.keys.clone()))
                .collect(),
            ..GatewayOptions::default()
        })
    }

    /// Whether one of the tokens lets administer.
    pub(crate) fn knows_admin(&self) -> bool {
        self.token.iter().any(|token| token.admin)
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.gateway.tls_certificate {
            Some(_) => "https",
            None => "http",
        }
    }

    fn access(&self) -> Result<Access> {
        let is_open = self.token.is_empty() || self.gateway.allow_anonymous;
        let access = match is_open {
            true => Access::open(),
            false => Access::new(),
        };
        self.token.iter().try_fold(access, |access, token| {
            let name = token.name.as_deref().unwrap_or_default();
            let hash: TokenHash = token.hash.as_deref().unwrap_or_default().parse()?;
            Ok(access.token(name, hash, token.rights()?)?)
        })
    }

    fn tls(&self) -> Result<Option<Tls>> {
        let files = self.gateway.tls_certificate.as_deref();
        let files = files.zip(self.gateway.tls_key.as_deref());
        let tls = files.map(|(certificate, key)| Tls::from_files(certificate, key));
        tls.transpose().context("[gateway] tls_certificate")
    }
}

impl TokenConfig {
    /// What it lets do.
    fn rights(&self) -> Result<Rights> {
        let mut rights = Rights::none();
        if !self.read.is_empty() {
            rights = rights.read(self.read.iter().map(String::as_str))?;
        }
        if self.ingest {
            rights = rights.ingest();
        }
        if self.act {
            rights = rights.act();
        }
        if self.admin {
            rights = rights.admin();
        }
        Ok(rights)
    }
}

impl Check<'_> {
    /// What is impossible in the section `[gateway]`, and in the tokens.
    pub(super) fn gateway(&mut self) {
        let config = self.config;
        let at = |key: &str| Path::of([Step::from("gateway"), Step::from(key)]);
        let gateway = &config.gateway;
        let [certificate, key] = [at("tls_certificate"), at("tls_key")];
        match (&gateway.tls_certificate, &gateway.tls_key) {
            (Some(_), None) => {
                let what = format!("{certificate} is set and {key} is not, expected both");
                self.refuse(&[certificate], what);
            }
            (None, Some(_)) => {
                let what = format!("{key} is set and {certificate} is not, expected both");
                self.refuse(&[key], what);
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let is_closed = !config.token.is_empty() || gateway.allow_anonymous;
        if !is_closed && !gateway.listen.ip().is_loopback() {
            let what = format!(
                "gateway.listen is \"{}\", which other machines can reach, and there is no \
                 [[token]]: make one with `forebay token`, listen on 127.0.0.1, or set \
                 gateway.allow_anonymous = true",
                gateway.listen
            );
            self.refuse(&[at("listen")], what);
        }
        for (name, channel) in &gateway.channels {
            if channel.keys.is_empty() {
                let section = at("channels").with(name.as_str());
                let what = format!("{section} has no keys, expected patterns");
                self.refuse(&[section.with("keys"), section], what);
            }
        }
        self.tokens();
    }

    fn tokens(&mut self) {
        let config = self.config;
        let at = |place: usize| Path::of([Step::from("token"), Step::from(place)]);
        let count = config.token.len();
        if count > TOKENS_MAX {
            let what = format!("there are {count} tokens, expected at most {TOKENS_MAX}");
            self.refuse(&[at(TOKENS_MAX)], what);
        }
        let mut names = BTreeMap::new();
        let mut hashes = BTreeMap::new();
        for (place, token) in config.token.iter().enumerate() {
            let section = at(place);
            let [name, hash] = ["name", "hash"].map(|key| section.with(key));
            match token.name.as_deref() {
                None => self.refuse(
                    &[name, section.clone()],
                    format!("{section} has no name, expected one"),
                ),
                Some(known) if OTHERS.contains(&known) => {
                    let what = format!("{name} is \"{known}\", which means somebody else");
                    self.refuse(&[name], what);
                }
                Some(known) => {
                    if let Some(other) = names.insert(known, place) {
                        let what =
                            format!("token.{other} and {section} have the same name {known}");
                        self.refuse(&[name], what);
                    }
                }
            }
            match token.hash.as_deref() {
                None => self.refuse(
                    &[hash, section.clone()],
                    format!("{section} has no hash, expected one that `forebay token` prints"),
                ),
                Some(known) => {
                    if let Some(other) = hashes.insert(known.to_ascii_lowercase(), place) {
                        let what = format!("token.{other} and {section} are the same token");
                        self.refuse(&[hash], what);
                    }
                }
            }
            let is_idle = token.read.is_empty() && !token.ingest && !token.act && !token.admin;
            if is_idle {
                let what = format!(
                    "{section} gives no right, expected at least one of read, ingest, act and admin"
                );
                let keys = ["read", "ingest", "act", "admin"].map(|key| section.with(key));
                self.refuse(&[&keys[..], &[section]].concat(), what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::build;

    const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn token(more: &str) -> String {
        format!("[[token]]\nname = 'a'\nhash = '{HASH}'\n{more}\n")
    }

    #[test]
    fn without_tokens_it_is_open_on_loopback_and_with_some_it_is_not() {
        let open = |text: &str| {
            let config = build(text, &[]).unwrap();
            config.gateway_options().unwrap().access.is_open()
        };
        let anonymous = "[gateway]\nallow_anonymous = true\n";
        assert!(open("") && open(anonymous));
        assert!(!open(&token("admin = true")));
        assert!(open(&(anonymous.to_owned() + &token("admin = true"))));
        assert!(build(&token("admin = true"), &[]).unwrap().knows_admin());
        assert!(!build(&token("act = true"), &[]).unwrap().knows_admin());
    }

    #[test]
    fn other_machines_are_let_in_with_tokens_or_when_it_is_said() {
        let listen = "[gateway]\nlisten = '0.0.0.0:8000'\n";
        let mistake = build(listen, &[]).unwrap_err();
        for way_out in ["forebay token", "127.0.0.1", "allow_anonymous"] {
            assert!(mistake.contains(way_out), "{mistake}");
        }
        assert!(mistake.starts_with("forebay.toml:2: "), "{mistake}");
        let variables = [("FOREBAY_GATEWAY__LISTEN", "[::]:1")];
        let mistake = build("", &variables).unwrap_err();
        assert!(
            mistake.starts_with("FOREBAY_GATEWAY__LISTEN: "),
            "{mistake}"
        );
        let said = listen.to_owned() + "allow_anonymous = true";
        assert!(build(&said, &[]).is_ok());
        let tokens = listen.to_owned() + &token("read = ['*']");
        assert!(build(&tokens, &[]).is_ok());
    }

    #[test]
    fn mistakes_in_tokens_name_the_place_and_what_to_do() {
        let two = token("act = true") + &token("act = true");
        for (text, line, expected) in [
            (
                token(""),
                1,
                "token.0 gives no right, expected at least one of read",
            ),
            (token("read = []"), 4, "token.0 gives no right"),
            (
                token("read = ['[']"),
                4,
                "token.0.read is ['['], expected a list of patterns",
            ),
            ("[[token]]\nact = true".into(), 1, "token.0 has no name"),
            ("[[token]]\nact = true".into(), 1, "token.0 has no hash"),
            (two.clone(), 6, "token.0 and token.1 have the same name a"),
            (two, 7, "token.0 and token.1 are the same token"),
            (
                token("act = true").replace("'a'", "'anonymous'"),
                2,
                "means somebody else",
            ),
            (token("acts = true"), 4, "did you mean act?"),
            (
                "[gateway]\ntls_key = 'key.pem'".into(),
                2,
                "tls_certificate is not, expected both",
            ),
            (
                "[gateway.channels.a]\n".into(),
                1,
                "gateway.channels.a has no keys",
            ),
            (
                "[gateway]\ntick = '2s'".into(),
                2,
                "gateway.tick is '2s', expected a duration",
            ),
        ] {
            let mistakes = build(&text, &[]).unwrap_err();
            let found = mistakes.lines().find(|mistake| mistake.contains(expected));
            let found = found.unwrap_or_else(|| panic!("{expected} in {mistakes}"));
            assert!(
                found.trim().starts_with(&format!("forebay.toml:{line}: ")),
                "{found}"
            );
        }
        let many: String = (0..1_000)
            .map(|n| {
                let digits = format!("{n:064}");
                format!("[[token]]\nname = 't{n}'\nhash = 'sha256:{digits}'\nact = true\n")
            })
            .collect();
        let mistakes = build(&many, &[]).unwrap_err();
        assert!(
            mistakes.contains("there are 1000 tokens, expected at most 999"),
            "{mistakes}"
        );
    }

    #[test]
    fn a_token_where_its_hash_belongs_is_not_repeated() {
        let token = gateway::Token::generate().unwrap();
        let text = format!(
            "[[token]]\nname = 'a'\nhash = '{}'\nact = true",
            token.as_str()
        );
        let mistakes = build(&text, &[]).unwrap_err();
        assert!(
            mistakes.contains("token.0.hash is ***, expected `sha256:`"),
            "{mistakes}"
        );
        let texts = [
            format!("[[token]]\nhsh = '{}'", token.as_str()),
            format!("token = '{}'", token.as_str()),
            format!("[gateway]\ntick = '{}'", token.as_str()),
        ];
        for text in texts {
            let mistakes = build(&text, &[]).unwrap_err();
            assert!(!mistakes.contains(token.as_str()), "{mistakes}");
        }
    }

    #[test]
    fn a_certificate_that_cannot_be_read_names_its_file() {
        let text = "[gateway]\ntls_certificate = 'no/cert.pem'\ntls_key = 'no/key.pem'";
        let config = build(text, &[]).unwrap();
        assert_eq!(config.scheme(), "https");
        let error = config.gateway_options().unwrap_err();
        let error = format!("{error:#}");
        assert!(
            error.contains("tls_certificate") && error.contains("no/cert.pem"),
            "{error}"
        );
    }

    #[test]
    fn changes_of_tokens_need_a_restart() {
        let before = build(&token("act = true"), &[]).unwrap();
        let after = build(&token("admin = true"), &[]).unwrap();
        let changes = before.changes(&after);
        assert!(
            changes.iter().all(super::super::Change::needs_restart),
            "{changes:?}"
        );
        assert_eq!(
            after.keeping_what_needs_restart(&before).token,
            before.token
        );
    }
}
