//! Writing points.
//!
//! Every write is a list of [`WriteOp`]s. Those that do not depend on the state become a batch at
//! once; for the others the shard's turn is taken and they are resolved on its state. The batch
//! is appended, which makes it durable, and applied, which makes it visible; a client that does
//! not wait has its answer between the two.

use std::sync::Arc;

use engine::{Appended, Collection};
use format_spec::{Schema, SeqNo};
use query::{QueryError, WriteOp, grows, needs_turn, resolve};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Call;
use crate::error::{ApiError, of_query};
use crate::reply::Reply;
use crate::wire::write as read;

/// How far a write has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UpdateStatus {
    /// Durable.
    Acknowledged,
    /// Durable and visible.
    Completed,
    /// Durable; the client did not want to wait longer.
    WaitTimeout,
}

/// What a write answers.
#[derive(Copy, Clone, Debug, Serialize)]
pub(crate) struct UpdateResult {
    operation_id: u64,
    status: UpdateStatus,
}

impl UpdateResult {
    pub(crate) fn new(seqno: SeqNo, status: UpdateStatus) -> Self {
        Self {
            operation_id: seqno.0,
            status,
        }
    }
}

/// What was written.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Written {
    seqno: SeqNo,
    /// For a batch, how many results the answer lists.
    results: Option<usize>,
}

/// Tells the waiting side that the write is durable.
#[derive(Debug)]
pub(crate) struct Durable(oneshot::Sender<Written>);

impl Durable {
    fn tell(self, written: Written) {
        // Nobody there: the client has gone, the write stays.
        let _ = self.0.send(written);
    }
}

/// Runs a write operation and answers when the client wants to be answered.
pub(super) async fn write(
    operation: fn(&Call, Durable) -> Result<Written, ApiError>,
    call: Arc<Call>,
) -> Result<Reply, ApiError> {
    let (tell, mut durable) = oneshot::channel();
    let job = Arc::clone(&call);
    let done = call
        .state
        .write
        .start(move || operation(&job, Durable(tell)));
    let done = done.await?;
    let stopped = |_| ApiError::unavailable("the server is stopping");
    if !call.parameters.wait {
        // Without word of durability the operation failed, and says why.
        return match durable.await {
            Ok(written) => reply(&call, written, UpdateStatus::Acknowledged),
            Err(_) => {
                let written = done.await.map_err(stopped)??;
                reply(&call, written, UpdateStatus::Acknowledged)
            }
        };
    }
    let Some(limit) = call.parameters.timeout else {
        let written = done.await.map_err(stopped)??;
        return reply(&call, written, UpdateStatus::Completed);
    };
    match timeout(limit, done).await {
        Ok(done) => reply(&call, done.map_err(stopped)??, UpdateStatus::Completed),
        Err(_) => match durable.try_recv() {
            Ok(written) => reply(&call, written, UpdateStatus::WaitTimeout),
            // Not even durable: the client must not take this for a success.
            Err(_) => Err(ApiError::timeout("Update", limit)),
        },
    }
}

fn reply(call: &Call, written: Written, status: UpdateStatus) -> Result<Reply, ApiError> {
    let result = UpdateResult::new(written.seqno, status);
    match written.results {
        None => call.ok(result),
        Some(count) => call.ok(vec![result; count]),
    }
}

/// Resolves, appends and applies.
fn commit(
    call: &Call,
    collection: &Collection,
    ops: Vec<WriteOp>,
    results: Option<usize>,
    durable: Durable,
) -> Result<Written, ApiError> {
    let appended = if needs_turn(&ops) {
        append_in_turn(call, collection, ops)?
    } else {
        append(call, collection, ops)?
    };
    let Some(appended) = appended else {
        // Nothing to do is done.
        let seqno = collection.snapshot().seqno();
        return Ok(Written { seqno, results });
    };
    let written = Written {
        seqno: appended.last,
        results,
    };
    durable.tell(written);
    collection.apply(&appended);
    Ok(written)
}

fn append(
    call: &Call,
    collection: &Collection,
    ops: Vec<WriteOp>,
) -> Result<Option<Appended>, ApiError> {
    let batch = resolve(None, &collection.schema(), ops, &call.env(None));
    let batch = batch.map_err(|error| refused(call, error))?;
    if batch.is_empty() {
        return Ok(None);
    }
    Ok(Some(collection.append(batch)?))
}

fn append_in_turn(
    call: &Call,
    collection: &Collection,
    ops: Vec<WriteOp>,
) -> Result<Option<Appended>, ApiError> {
    let turn = collection.turn(grows(&ops))?;
    let snapshot = turn.snapshot();
    let batch = resolve(Some(&snapshot), snapshot.schema(), ops, &call.env(None));
    let batch = batch.map_err(|error| refused(call, error))?;
    if batch.is_empty() {
        return Ok(None);
    }
    Ok(Some(turn.append(batch)?))
}

fn refused(call: &Call, error: QueryError) -> ApiError {
    of_query(error, "Update", call.read_limit())
}

fn one(
    call: &Call,
    durable: Durable,
    read: fn(&Schema, &[u8]) -> Result<WriteOp, ApiError>,
) -> Result<Written, ApiError> {
    let collection = call.collection()?;
    let op = read(&collection.schema(), call.body.bytes())?;
    commit(call, &collection, vec![op], None, durable)
}

/// `PUT points`.
pub(crate) fn upsert(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_upsert)
}

/// `POST points/delete`.
pub(crate) fn delete(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_delete)
}

/// `PUT points/vectors`.
pub(crate) fn update_vectors(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_vectors)
}

/// `POST points/vectors/delete`.
pub(crate) fn delete_vectors(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_delete_vectors)
}

/// `POST points/payload`.
pub(crate) fn set_payload(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_set_payload)
}

/// `PUT points/payload`.
pub(crate) fn overwrite_payload(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_overwrite_payload)
}

/// `POST points/payload/delete`.
pub(crate) fn delete_payload(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_delete_payload)
}

/// `POST points/payload/clear`.
pub(crate) fn clear_payload(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    one(call, durable, read::read_clear_payload)
}

/// `POST points/batch`: all of it or nothing, one result an operation.
pub(crate) fn batch(call: &Call, durable: Durable) -> Result<Written, ApiError> {
    let collection = call.collection()?;
    let ops = read::read_batch(&collection.schema(), call.body.bytes())?;
    let results = Some(ops.len());
    commit(call, &collection, ops, results, durable)
}
