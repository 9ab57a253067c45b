//! Who computes Argon2, which is slow on purpose? A thread of its own, so that the loop never
//! waits for it.
//!
//! It never sees a socket: jobs go in through a bounded channel, results come back through
//! another, and a callback wakes the loop.

use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

use crate::limits::PASSWORD_QUEUE_MAX;
use crate::net::ConnectionId;

/// Memory in KiB, passes and lanes of Argon2id: the first choice of the OWASP password storage
/// cheat sheet for small servers.
const ARGON2_MEMORY_KIB: u32 = 19_456;
const ARGON2_PASSES: u32 = 2;
const ARGON2_LANES: u32 = 1;

/// The worker's handle, on the loop's side.
pub struct PasswordWorker {
    jobs: Option<SyncSender<Job>>,
    results: Receiver<PasswordResult>,
    thread: Option<JoinHandle<()>>,
}

/// What a connection wants to have computed.
pub struct Job {
    /// For whom.
    pub connection: ConnectionId,
    /// What.
    pub work: Work,
}

/// What can be computed.
pub enum Work {
    /// A new account's hash.
    Hash {
        /// Of this password.
        password: String,
    },
    /// Whether a password is right.
    Verify {
        /// The password that was given.
        password: String,
        /// The account's hash; `None` if there is no such account: the same work is done, and
        /// the answer is no.
        hash: Option<String>,
    },
}

/// What was computed.
pub struct PasswordResult {
    /// For whom.
    pub connection: ConnectionId,
    /// What came out.
    pub outcome: PasswordOutcome,
}

/// What came out of a [`Work`].
pub enum PasswordOutcome {
    /// The PHC string, or nothing if it could not be computed (out of memory or random bits).
    Hashed(Option<String>),
    /// Whether the password was right.
    Verified(bool),
}

/// [`PASSWORD_QUEUE_MAX`] jobs are waiting already.
#[derive(Debug)]
pub struct QueueFull;

impl PasswordWorker {
    /// Starts the thread. `wake` is called after each result.
    pub fn start(wake: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::sync_channel::<Job>(PASSWORD_QUEUE_MAX);
        let (outbox, results) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("passwords".into())
            .spawn(move || {
                let mut hasher = Hasher::new();
                for job in inbox {
                    let outcome = hasher.compute(&job.work);
                    let connection = job.connection;
                    let result = PasswordResult {
                        connection,
                        outcome,
                    };
                    if outbox.send(result).is_err() {
                        return;
                    }
                    wake();
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            results,
            thread: Some(thread),
        })
    }

    /// Hands a job over.
    pub fn submit(&mut self, job: Job) -> Result<(), QueueFull> {
        let jobs = self.jobs.as_ref().expect("the channel is open until drop");
        match jobs.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(QueueFull),
            Err(TrySendError::Disconnected(_)) => panic!("the password worker ended"),
        }
    }

    /// The next result, if there is one.
    pub fn result(&mut self) -> Option<PasswordResult> {
        self.results.try_recv().ok()
    }
}

impl Drop for PasswordWorker {
    fn drop(&mut self) {
        // Whatever still waits is nobody's any more: the thread ends with the job at hand.
        self.jobs = None;
        drop(std::mem::replace(&mut self.results, mpsc::channel().1));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The hash of a password, for whoever has no loop that could wait; `None` if it cannot be computed (out of
/// memory or random bits).
pub(super) fn hash(password: &str) -> Option<String> {
    Hasher::new().hash(password)
}

struct Hasher {
    argon2: Argon2<'static>,
    /// Argon2's memory, kept: given back and taken anew for each password, so much of it leaves
    /// the allocator in pieces.
    memory: Vec<Block>,
    /// Verified against when there is no account, so that the answer takes as long.
    nobody: String,
}

impl Hasher {
    fn new() -> Self {
        let params = Params::new(ARGON2_MEMORY_KIB, ARGON2_PASSES, ARGON2_LANES, None)
            .expect("the parameters are constants within Argon2's bounds");
        let memory = vec![Block::new(); params.block_count()];
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hasher = Self {
            argon2,
            memory,
            nobody: String::new(),
        };
        hasher.nobody = hasher.hash("nobody has this password").unwrap_or_default();
        hasher
    }

    fn compute(&mut self, work: &Work) -> PasswordOutcome {
        match work {
            Work::Hash { password } => PasswordOutcome::Hashed(self.hash(password)),
            Work::Verify { password, hash } => {
                let nobody = self.nobody.clone();
                let right = self.verify(password, hash.as_ref().unwrap_or(&nobody));
                PasswordOutcome::Verified(right && hash.is_some())
            }
        }
    }

    fn hash(&mut self, password: &str) -> Option<String> {
        let mut salt = [0; Salt::RECOMMENDED_LENGTH];
        getrandom::fill(&mut salt).ok()?;
        let salt = Salt::new(&salt).ok()?;
        let hash = PasswordHash {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(self.argon2.params()).ok()?,
            salt: Some(salt),
            hash: Some(self.output(password, &salt)?),
        };
        Some(hash.to_string())
    }

    fn verify(&mut self, password: &str, hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else {
            return false;
        };
        let is_ours = hash.algorithm == ARGON2ID_IDENT
            && hash.version == Some(Version::V0x13.into())
            && ParamsString::try_from(self.argon2.params()).as_ref() == Ok(&hash.params);
        match hash.salt {
            // Outputs are compared in constant time.
            Some(salt) if is_ours => {
                hash.hash.is_some() && self.output(password, &salt) == hash.hash
            }
            // Made with other parameters, by another version of this program.
            _ => self
                .argon2
                .verify_password(password.as_bytes(), &hash)
                .is_ok(),
        }
    }

    fn output(&mut self, password: &str, salt: &[u8]) -> Option<Output> {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.argon2
            .hash_password_into_with_memory(
                password.as_bytes(),
                salt,
                &mut output,
                &mut self.memory,
            )
            .ok()?;
        Output::new(&output).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordHasher;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let mut hasher = Hasher::new();
        let PasswordOutcome::Hashed(Some(hash)) = hasher.compute(&Work::Hash {
            password: "correct-horse".into(),
        }) else {
            panic!("nothing was hashed");
        };
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        let mut verify = |password: &str, hash: Option<&String>| {
            matches!(
                hasher.compute(&Work::Verify {
                    password: password.into(),
                    hash: hash.cloned()
                }),
                PasswordOutcome::Verified(true)
            )
        };
        assert!(verify("correct-horse", Some(&hash)));
        assert!(!verify("correct-cow", Some(&hash)));
        assert!(!verify("correct-horse", None));
        assert!(!verify("nobody has this password", None));
        assert!(!verify("correct-horse", Some(&"not a hash".to_string())));
        let standard = Argon2::default();
        let parsed = PasswordHash::new(&hash).unwrap();
        assert!(standard.verify_password(b"correct-horse", &parsed).is_ok());
        let params = Params::new(8, 1, 1, None).unwrap();
        let other = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let other = other.hash_password(b"correct-horse").unwrap().to_string();
        assert!(verify("correct-horse", Some(&other)));
        assert!(!verify("correct-cow", Some(&other)));
    }
}
