//! Posts what is due, and notes what came of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use wire::OrgId;

use super::{Attempt, Post, Sender, ServerSecret};
use crate::app::AdminError;
use crate::clock::{Entropy as _, OsEntropy};
use crate::http::Edge;
use crate::store::{DeliveryRow, StoreError, WebhookRow};

/// How often the outbox is looked into.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before what came of an attempt is noted again, where it could not be.
const NOTE_AGAIN_AFTER: Duration = Duration::from_secs(1);

const CANNOT_SIGN: &str = "the server cannot sign: the file of its secret is not that by which this webhook \
                           was given its own; put it back, or rotate the webhook";

/// Attempts at once: each keeps a thread for as long as its receiver takes.
const AT_ONCE: usize = 16;

/// Attempts of one organisation at once, so that its slow receivers do not keep others waiting.
const AT_ONCE_OF_ORG: usize = 2;

/// Deliveries looked at, one of each webhook: more than can be begun.
const LOOKED_AT: u32 = 256;

/// The one who posts. One for each server.
pub struct Courier {
    edge: Edge,
    sender: Sender,
    secret: Arc<ServerSecret>,
    under_way: JoinSet<(OrgId, String)>,
    /// Webhooks that are being posted to: one message after the other.
    busy: HashSet<(OrgId, String)>,
}

impl Courier {
    pub(crate) fn new(edge: Edge) -> Self {
        let sender = Sender::new(&edge.webhooks);
        let secret = Arc::clone(&edge.secret);
        Self { edge, sender, secret, under_way: JoinSet::new(), busy: HashSet::new() }
    }

    /// Works for ever.
    pub async fn run(mut self) {
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                Some(_) = self.end_one(), if !self.under_way.is_empty() => {}
            }
            if let Err(error) = self.begin().await {
                tracing::error!(%error, "the outbox of webhooks could not be read");
            }
        }
    }

    /// Posts everything that is due now, and waits until all of it has been answered or has failed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn round(&mut self) -> Result<(), AdminError> {
        while self.begin().await? > 0 || !self.under_way.is_empty() {
            self.end_one().await;
        }
        Ok(())
    }

    /// Begins attempts, as many as may be under way. Answers how many.
    async fn begin(&mut self) -> Result<usize, AdminError> {
        let due = self.edge.look(|work| work.due_deliveries(LOOKED_AT)).await?;
        let mut begun = 0;
        for (delivery, webhook) in due {
            let place = (delivery.org.clone(), delivery.webhook.clone());
            let of_org = self.busy.iter().filter(|busy| busy.0 == delivery.org).count();
            let is_free = self.under_way.len() < AT_ONCE && of_org < AT_ONCE_OF_ORG;
            if !is_free || !self.busy.insert(place.clone()) {
                continue;
            }
            begun += 1;
            let (edge, sender) = (self.edge.clone(), self.sender.clone());
            let secret = Arc::clone(&self.secret);
            self.under_way.spawn(async move {
                attempt(&edge, sender, &secret, delivery, webhook).await;
                place
            });
        }
        Ok(begun)
    }

    async fn end_one(&mut self) -> Option<()> {
        match self.under_way.join_next().await? {
            Ok(place) => {
                self.busy.remove(&place);
            }
            Err(error) => {
                // Whose it was is not known: let all that is under way end first.
                tracing::error!(%error, "an attempt to reach a webhook broke off");
                while let Some(other) = self.under_way.join_next().await {
                    drop(other);
                }
                self.busy.clear();
            }
        }
        Some(())
    }
}

async fn attempt(
    edge: &Edge,
    sender: Sender,
    secret: &ServerSecret,
    delivery: DeliveryRow,
    webhook: Option<WebhookRow>,
) {
    let attempt = match webhook {
        None => Attempt::failed(&"the webhook is disabled"),
        Some(webhook) => match sealed(secret, &delivery, &webhook, edge.now().unix_ms / 1_000) {
            Ok(post) => {
                let posted = tokio::task::spawn_blocking(move || sender.post(&post));
                posted.await.unwrap_or_else(|error| Attempt::failed(&error))
            }
            Err(error) => {
                tracing::error!(?secret, %error, "the secret of webhooks cannot be had");
                Attempt::failed(&CANNOT_SIGN)
            }
        },
    };
    let mut random = [0; 2];
    if let Err(error) = OsEntropy.fill(&mut random) {
        tracing::error!(%error, "no random bytes for the next attempt");
    }
    let random = u16::from_le_bytes(random);
    // Until it is written down the message counts as due: posted again it would come again and again,
    // as fast as the receiver answers. Meanwhile its webhook is told nothing else.
    loop {
        let (id, attempt) = (delivery.id.clone(), attempt.clone());
        match edge.write(move |work| work.note_attempt(&id, &attempt, random)).await {
            Ok(()) | Err(AdminError::Store(StoreError::Stopped)) => return,
            Err(error) => {
                tracing::error!(%error, "an attempt to reach a webhook could not be noted");
                tokio::time::sleep(NOTE_AGAIN_AFTER).await;
            }
        }
    }
}

fn sealed(
    secret: &ServerSecret,
    delivery: &DeliveryRow,
    webhook: &WebhookRow,
    unix_s: u64,
) -> std::io::Result<Post> {
    let key = secret.signing_key(
        &webhook.org,
        &webhook.id,
        webhook.generation,
        webhook.secret_mark.as_deref(),
    )?;
    Ok(Post {
        url: webhook.url.clone(),
        id: delivery.id.clone(),
        unix_s,
        signature: key.sign(&delivery.id, unix_s, &delivery.body)?,
        body: delivery.body.clone(),
    })
}
