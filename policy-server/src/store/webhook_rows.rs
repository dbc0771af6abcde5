//! Rows of webhooks, of what they are told, and of what was told already.

use wire::OrgId;

use super::{AccountId, StoreResult};

/// Whom an organisation wants told of events. Its secret is derived, never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// The organisation.
    pub org: OrgId,
    /// Its id, unique there.
    pub id: String,
    /// Where events are posted to.
    pub url: String,
    /// Which events, by their names; none: all of them.
    pub events: Vec<String>,
    /// Whether it is told of anything at all.
    pub enabled: bool,
    /// Which of its secrets is the valid one.
    pub generation: u64,
    /// By what the secret that it was derived from is known again; none: that was not noted yet.
    pub secret_mark: Option<String>,
    /// Creation in milliseconds since 1970 UTC.
    pub created_unix_ms: u64,
    /// Last change in milliseconds since 1970 UTC.
    pub updated_unix_ms: u64,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Another attempt will be made.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The word in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The status of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// An event on its way to one webhook. Times are in milliseconds since 1970 UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its id, the same in every attempt, by which a receiver knows a repetition.
    pub id: String,
    /// The organisation.
    pub org: OrgId,
    /// The webhook's id.
    pub webhook: String,
    /// The event's name.
    pub event: String,
    /// What is posted.
    pub body: String,
    /// How far it has come.
    pub status: DeliveryStatus,
    /// Attempts made since `begun`.
    pub attempts: u32,
    /// When the event happened.
    pub created_unix_ms: u64,
    /// When the attempts began; later than the event where it was sent again.
    pub begun_unix_ms: u64,
    /// When the next attempt is due.
    pub due_unix_ms: u64,
    /// When it ended, one way or the other.
    pub ended_unix_ms: Option<u64>,
    /// The HTTP status of the last answer.
    pub last_status: Option<u16>,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverySearch {
    /// Of this organisation.
    pub org: OrgId,
    /// Only of this webhook.
    pub webhook: String,
    /// Only those that have come so far.
    pub status: Option<DeliveryStatus>,
    /// Only those before this position.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Webhooks and what they are told.
pub trait WebhookRows {
    /// One webhook.
    fn webhook(&mut self, org: &OrgId, id: &str) -> StoreResult<Option<WebhookRow>>;
    /// Webhooks of an organisation in the order of their ids, at most `limit`.
    fn webhooks(&mut self, org: &OrgId, limit: u32) -> StoreResult<Vec<WebhookRow>>;
    /// Inserts or replaces.
    fn save_webhook(&mut self, webhook: &WebhookRow) -> StoreResult<()>;
    /// Removes a webhook and everything that it was told or is to be told.
    fn remove_webhook(&mut self, org: &OrgId, id: &str) -> StoreResult<()>;
    /// One delivery.
    fn delivery(&mut self, id: &str) -> StoreResult<Option<DeliveryRow>>;
    /// Deliveries that match, newest first, with the position of each for the next page.
    fn deliveries(&mut self, search: &DeliverySearch) -> StoreResult<Vec<(i64, DeliveryRow)>>;
    /// Appends one; where its id is there already nothing happens.
    fn add_delivery(&mut self, delivery: &DeliveryRow) -> StoreResult<()>;
    /// Saves how far one has come.
    fn save_delivery(&mut self, delivery: &DeliveryRow) -> StoreResult<()>;
    /// How many pending deliveries an organisation has, counted up to `most`.
    fn pending_deliveries(&mut self, org: &OrgId, most: u32) -> StoreResult<u64>;
    /// How many deliveries of all organisations wait.
    fn all_pending_deliveries(&mut self) -> StoreResult<u64>;
    /// The longest due delivery of each webhook that has any, the longest due first, at most
    /// `limit`.
    fn due_deliveries(&mut self, unix_ms: u64, limit: u32) -> StoreResult<Vec<DeliveryRow>>;
    /// Removes ended deliveries of an organisation but the newest `keep`, at most `limit`.
    fn forget_deliveries(&mut self, org: &OrgId, keep: u32, limit: u32) -> StoreResult<()>;
    /// The highest threshold of an account that was told, in percent; zero: none.
    fn told(&mut self, account: &AccountId) -> StoreResult<u8>;
    /// Saves it.
    fn save_told(&mut self, account: &AccountId, told: u8) -> StoreResult<()>;
}
