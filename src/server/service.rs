//! Who listens at the service's address?
//!
//! The primary alone. One that takes over leaves the address to the dying for a moment, and then
//! tries again and again until it has it, by a timer and never by waiting. A process that is
//! stopped and still holds the address thus holds up nobody but those who know no other: clients
//! find every server at its member address, too. When another server leads, the address is given
//! back; the connections that came in by it stay, and are told who the primary is.

use std::io;
use std::time::Duration;

use super::member::SERVICE;
use super::{Alarm, Fatal, Server};
use crate::net::{Listener, ListenerId};

/// How often an address is tried that this host does not have. It may come, if it is one that
/// moves with the service.
const ELSEWHERE_TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often at most the address is tried.
const TRY_AGAIN_AFTER_MIN: Duration = Duration::from_millis(10);

/// The service's address, as far as this server has to do with it.
#[derive(Debug, Default)]
pub(super) struct ServiceAddress {
    /// Where connections come in.
    listener: Option<ListenerId>,
    /// A timer is set that tries to bind it.
    is_tried: bool,
    /// Another server has led since this process began: it may still hold the address.
    pub follows: bool,
    /// It was said that somebody else has it, or that it is not on this host.
    complained: bool,
}

impl Server {
    /// Binds the address, or gives it back, as the replica says whose it is.
    pub(super) fn look_at_service(&mut self) -> Result<(), Fatal> {
        self.service.follows |= self
            .replica
            .leader()
            .is_some_and(|leader| leader.server != self.replica.identity().server);
        let owns = self.replica.owns_service() && !self.is_saying_farewell();
        if !owns {
            if let Some(listener) = self.service.listener.take() {
                self.network.stop_listening(listener);
                log::info!("{} is left to the primary", self.options.service);
            }
            return Ok(());
        }
        if self.service.listener.is_some() || self.service.is_tried {
            return Ok(());
        }
        if self.service.follows {
            self.try_service_in(self.options.rebind_delay);
            return Ok(());
        }
        self.try_service()
    }

    /// The timer has rung.
    pub(super) fn try_service_again(&mut self) -> Result<(), Fatal> {
        self.service.is_tried = false;
        if self.replica.owns_service()
            && self.service.listener.is_none()
            && !self.is_saying_farewell()
        {
            return self.try_service();
        }
        Ok(())
    }

    /// Takes over a listener that was bound before there was a loop.
    pub(super) fn serve_at(&mut self, listener: Listener) -> io::Result<()> {
        self.service.listener = Some(self.network.listen(listener, SERVICE)?);
        Ok(())
    }

    fn try_service(&mut self) -> Result<(), Fatal> {
        let service = self.options.service;
        match Listener::bind(service) {
            Ok(listener) => {
                self.serve_at(listener).map_err(Fatal::Loop)?;
                if std::mem::take(&mut self.service.complained) {
                    log::info!("{service} is bound now");
                }
                log::debug!("listening at {service}");
            }
            Err(error) => self.service_is_taken(&error),
        }
        Ok(())
    }

    fn service_is_taken(&mut self, error: &io::Error) {
        let (service, member) = (self.options.service, self.member.address);
        let elsewhere = error.kind() == io::ErrorKind::AddrNotAvailable;
        if !std::mem::replace(&mut self.service.complained, true) {
            if elsewhere {
                log::warn!(
                    "{service} is not an address of this host: this server serves at {member}"
                );
            } else {
                log::warn!(
                    "{service} cannot be bound yet ({error}): this server serves at {member}, and \
                     tries again"
                );
            }
        }
        self.try_service_in(match elsewhere {
            true => ELSEWHERE_TRY_AGAIN_AFTER,
            false => self.options.rebind_delay.max(TRY_AGAIN_AFTER_MIN),
        });
    }

    fn try_service_in(&mut self, after: Duration) {
        self.service.is_tried = true;
        self.network.set_timer(self.now + after, Alarm::Service);
    }
}
