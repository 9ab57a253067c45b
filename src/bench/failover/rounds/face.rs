//! What reaches the rounds, and what do they notice by themselves?

use super::super::FailoverError;
use super::super::command::{Running, Victim, Which};
use super::{
    ENTER_TIME_MAX, LEAVE_TIME_MAX, LOOK_EVERY, Rounds, SERVES_ON_MAX, SILENCE_MAX, Stage,
};
use crate::client::event::Part;
use crate::client::failover::{Change, Client, Output};
use crate::client::front::{Exit, Front, Written};
use crate::types::Time;

impl Front for Rounds<'_> {
    fn handle_output(&mut self, output: Output, client: &mut Client, now: Time) {
        match output {
            Output::Changed(change) => self.changed(&change, client, now),
            Output::Item {
                item: Part::Line(line),
                ..
            } => self.lines.push(line),
            Output::Item {
                item: Part::Message(message),
                ..
            } if self.exit.is_none() => {
                self.progress_at = now;
                if let Err(what) = self.record.find(&message) {
                    self.wrong(what);
                }
            }
            Output::Answered { number, answer } => {
                self.progress_at = now;
                if self.asked != Some(number) || self.exit.is_some() {
                    return;
                }
                self.asked = None;
                match answer {
                    Ok(answer) => self.answered(answer, client, now),
                    Err(_) if matches!(self.stage, Stage::Leaving { .. }) => self.give_up_leaving(),
                    Err(refusal) => {
                        let what = match self.stage {
                            Stage::Entering => "a new account",
                            Stage::Warming(_) | Stage::Killing(_) => "a message",
                            Stage::Checking => "the log",
                            _ => "the state of the servers",
                        };
                        self.fail(FailoverError::Refused { what, refusal }, client, now);
                    }
                }
            }
            _ => {}
        }
    }

    fn handle_signal(&mut self, signal: i32, client: &mut Client, now: Time) {
        match self.failure {
            None => self.fail(FailoverError::Signal(signal), client, now),
            // Once more: at once.
            Some(_) => self.over(),
        }
    }

    fn handle_timeout(&mut self, client: &mut Client, now: Time) {
        if self.exit.is_some() {
            return;
        }
        if let Err(failure) = self.go_on(client, now) {
            self.fail(failure, client, now);
        }
        self.look_at = Some(match self.stage {
            Stage::Killing(_) | Stage::Restarting(_) | Stage::Looking { .. } => now + LOOK_EVERY,
            _ => now + LEAVE_TIME_MAX,
        });
    }

    fn poll_timeout(&self) -> Option<Time> {
        // At the beginning at once: there is something to ask.
        Some(self.look_at.unwrap_or(self.progress_at))
    }

    fn take_text(&mut self, _client: &Client, _now: Time) -> Written {
        Written::default()
    }

    fn exit(&self) -> Option<Exit> {
        self.exit
    }
}

impl Rounds<'_> {
    fn go_on(&mut self, client: &mut Client, now: Time) -> Result<(), FailoverError> {
        let silent = now.since(self.progress_at) >= SILENCE_MAX;
        match &mut self.stage {
            Stage::Entering if self.asked.is_none() => self.create(client, now),
            Stage::Looking {
                since,
                again_at: Some(at),
            } if *at <= now => {
                let since = *since;
                self.look(since, client, now);
            }
            Stage::Killing(kill) => {
                if silent && !kill.is_over {
                    return Err(FailoverError::NobodyTookOver {
                        server: kill.victim.server,
                        seconds: SILENCE_MAX,
                        why: self.why.clone(),
                    });
                }
                if !kill.command.is_done(now)? {
                    return Ok(());
                }
                if kill.is_over {
                    let victim = Victim {
                        process: None,
                        ..kill.victim
                    };
                    return self.restart(victim, client, now);
                }
                let done_at = kill.command.done_at.unwrap_or(now);
                if !kill.is_down && now.since(done_at) >= SERVES_ON_MAX {
                    return Err(FailoverError::StillServes {
                        server: kill.victim.server,
                        member: kill.victim.member,
                        command: self.failover.kill.clone(),
                    });
                }
            }
            Stage::Restarting(command) => {
                let is_done = command.is_done(now)?;
                if is_done {
                    self.progress_at = now;
                    self.look(now, client, now);
                }
            }
            Stage::Leaving { since } => {
                let has_failed = self.failure.is_some();
                if has_failed && now.since(*since) >= LEAVE_TIME_MAX || silent {
                    self.give_up_leaving();
                }
            }
            _ if silent => {
                let seconds = SILENCE_MAX.as_secs();
                let why = format!("nobody has answered for {seconds} s: {}", self.why);
                return Err(FailoverError::NobodyServes(why));
            }
            _ => {}
        }
        Ok(())
    }

    fn give_up_leaving(&mut self) {
        log::warn!("the account {} could not be deleted", self.name);
        self.over();
    }

    /// Starts again who was killed, if that is wanted.
    fn restart(
        &mut self,
        victim: Victim,
        client: &mut Client,
        now: Time,
    ) -> Result<(), FailoverError> {
        match &self.failover.restart {
            Some(restart) => {
                let command = Running::start(Which::Restart, restart, &victim, now)?;
                self.stage = Stage::Restarting(command);
            }
            None => self.look(now, client, now),
        }
        Ok(())
    }

    fn changed(&mut self, change: &Change, client: &mut Client, now: Time) {
        match change {
            Change::Up { .. } => return,
            Change::Down { .. } => {
                if let Stage::Killing(kill) = &mut self.stage {
                    kill.is_down = true;
                }
            }
            Change::Unreachable { .. } | Change::Waiting { .. } => {
                let is_late = now.since(self.progress_at) >= ENTER_TIME_MAX;
                if matches!(self.stage, Stage::Entering) && is_late {
                    let failure = FailoverError::NobodyServes(change.to_string());
                    return self.fail(failure, client, now);
                }
            }
            Change::LoggedOut { why, .. } => {
                let failure = FailoverError::Refused {
                    what: "the account that is measured with",
                    refusal: why.clone(),
                };
                return self.fail(failure, client, now);
            }
        }
        self.why = change.to_string();
    }
}
