//! Which modules of the crate does a source name? Paths of `use` and paths in the middle of code,
//! by way of `crate::`, `lastword::` and `super::`, alone and in groups.

use crate::tokens::Token;

/// A path from the crate's root that a source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CratePath {
    /// From the root on: `["wire", "message", "Request"]`. Never empty.
    pub segments: Vec<String>,
    /// The line where it begins.
    pub line: usize,
}

/// The module that a file below `src` is: `store/mod.rs` and `store.rs` are `["store"]`. The
/// programs of `bin` count as modules of their own.
pub fn module_of(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    let last = segments.last().map(String::as_str);
    if last == Some("mod") || (segments.len() == 1 && last == Some("lib")) {
        segments.pop();
    }
    segments
}

/// Every path of the crate that the tokens of the file at `path` name.
pub fn crate_paths(path: &str, tokens: &[Token]) -> Vec<CratePath> {
    let mut found = Vec::new();
    let mut modules = Modules::of(path);
    let mut at = 0;
    while at < tokens.len() {
        modules.step(tokens, at);
        let begins = at == 0 || tokens[at - 1].text != "::";
        let followed = tokens.get(at + 1).is_some_and(|next| next.text == "::");
        let root = match tokens[at].text.as_str() {
            "crate" | "lastword" if begins && followed => Some(Vec::new()),
            "super" if begins && followed => Some(modules.parent()),
            _ => None,
        };
        if tokens[at].text == "crate" && tokens.get(at + 1).is_some_and(|next| next.text == "as") {
            found.push(everything(tokens[at].line));
        }
        match root {
            Some(root) => at = tree(tokens, at + 2, root, &mut found),
            None => at += 1,
        }
    }
    found
}

/// Reads what may follow `prefix::` at `at`: a path, a group of them, or `*`. Answers where it
/// ends.
fn tree(tokens: &[Token], at: usize, prefix: Vec<String>, found: &mut Vec<CratePath>) -> usize {
    let Some(token) = tokens.get(at) else {
        return at;
    };
    let continues = tokens.get(at + 1).is_some_and(|next| next.text == "::");
    match token.text.as_str() {
        "{" => group(tokens, at + 1, &prefix, found),
        "super" | "self" if continues => {
            let mut prefix = prefix;
            if token.text == "super" {
                prefix.pop();
            }
            tree(tokens, at + 2, prefix, found)
        }
        text => {
            let mut segments = prefix;
            if text != "self" {
                segments.push(text.to_owned());
            }
            if continues {
                return tree(tokens, at + 2, segments, found);
            }
            let line = token.line;
            found.push(match segments.is_empty() {
                true => everything(line),
                false => CratePath { segments, line },
            });
            at + 1
        }
    }
}

/// What somebody names who takes the root itself: from there on nothing can be told apart.
fn everything(line: usize) -> CratePath {
    CratePath {
        segments: vec!["*".to_owned()],
        line,
    }
}

fn group(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<CratePath>) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "," => at += 1,
            "as" => at += 2,
            _ => at = tree(tokens, at, prefix.to_vec(), found),
        }
    }
    at
}

/// Where in the tree of modules a place of a file is; inline modules count.
struct Modules {
    /// The file's own module.
    file: Vec<String>,
    /// Inline modules around the place, each with the depth of braces inside it.
    inline: Vec<(String, usize)>,
    /// Braces that are open.
    depth: usize,
}

impl Modules {
    fn of(path: &str) -> Self {
        Self {
            file: module_of(path),
            inline: Vec::new(),
            depth: 0,
        }
    }

    /// Takes note of the token at `at`.
    fn step(&mut self, tokens: &[Token], at: usize) {
        match tokens[at].text.as_str() {
            "{" => {
                self.depth += 1;
                if at >= 2 && tokens[at - 2].text == "mod" {
                    self.inline.push((tokens[at - 1].text.clone(), self.depth));
                }
            }
            "}" => {
                if self
                    .inline
                    .last()
                    .is_some_and(|(_, depth)| *depth == self.depth)
                {
                    self.inline.pop();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
    }

    /// What `super` means here.
    fn parent(&self) -> Vec<String> {
        let inline = self.inline.iter().map(|(name, _)| name.clone());
        let mut module: Vec<String> = self.file.iter().cloned().chain(inline).collect();
        module.pop();
        module
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn named(path: &str, source: &str) -> Vec<String> {
        crate_paths(path, &tokens(source))
            .iter()
            .map(|path| path.segments.join("::"))
            .collect()
    }

    #[test]
    fn files_are_modules() {
        assert_eq!(module_of("lib.rs"), Vec::<String>::new());
        assert_eq!(module_of("types.rs"), ["types"]);
        assert_eq!(module_of("store/mod.rs"), ["store"]);
        assert_eq!(
            module_of("journal/storage/real.rs"),
            ["journal", "storage", "real"]
        );
    }

    #[test]
    fn imports_are_found_alone_and_in_groups() {
        assert_eq!(named("a.rs", "use crate::net::Loop;"), ["net::Loop"]);
        assert_eq!(
            named(
                "a.rs",
                "pub use crate::{net, wire::{self, message::{Push as P, Item}}, types::*};"
            ),
            [
                "net",
                "wire",
                "wire::message::Push",
                "wire::message::Item",
                "types::*"
            ]
        );
        for source in [
            "use crate::*;",
            "use crate as root;",
            "use crate::{self as root};",
        ] {
            assert_eq!(named("a.rs", source), ["*"]);
        }
        assert_eq!(
            named("bin/server.rs", "use lastword::server::Options;"),
            ["server::Options"]
        );
    }

    #[test]
    fn paths_within_code_are_found() {
        assert_eq!(
            named(
                "a/b.rs",
                "fn f(x: &crate::net::Loop) { crate :: store\n::open(x) }"
            ),
            ["net::Loop", "store::open"]
        );
    }

    #[test]
    fn visibilities_and_other_crates_are_no_paths_of_ours() {
        assert_eq!(
            named(
                "a.rs",
                "pub(crate) fn f() { other::crate_::x(); mio::Poll::new() }"
            ),
            [""; 0]
        );
    }

    #[test]
    fn super_leads_out_of_a_room_only_from_its_top() {
        assert_eq!(named("net/mod.rs", "use super::server::X;"), ["server::X"]);
        assert_eq!(named("net/turn.rs", "use super::Loop;"), ["net::Loop"]);
        assert_eq!(
            named("net/turn.rs", "use super::super::server;"),
            ["server"]
        );
        assert_eq!(
            named("net/turn.rs", "mod tests { use super::*; } use super::Y;"),
            ["net::turn::*", "net::Y"]
        );
        assert_eq!(
            named(
                "net/turn.rs",
                "fn f() { if x {} } mod tests { fn g() {} use super::super::super::chat; }"
            ),
            ["chat"]
        );
    }
}
