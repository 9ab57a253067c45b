//! Which names does LIST's pattern mean?

/// Whether `pattern`, in which `*` stands for any characters and `?` for one, in any case, means
/// `name`. The work is at most the product of both lengths, whatever the pattern.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let pattern = pattern.as_bytes();
    let name = name.as_bytes();
    let (mut p, mut n) = (0, 0);
    // Where to go on when the characters after the last `*` do not fit: it takes one more.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c.to_ascii_lowercase() == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut retry {
                Some((after_star, taken)) => {
                    *taken += 1;
                    p = *after_star;
                    n = *taken;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "alice", true),
            ("", "alice", false),
            ("alice", "alice", true),
            ("ALICE", "alice", true),
            ("alic", "alice", false),
            ("a*e", "alice", true),
            ("a*i*e", "alice", true),
            ("a*x*e", "alice", false),
            ("?????", "alice", true),
            ("????", "alice", false),
            ("**c?*", "alice", true),
            ("*a", "banana", true),
            ("*ana", "banana", true),
            ("*nab", "banana", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
