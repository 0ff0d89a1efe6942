//! Writing points.
//!
//! Every write is a list of [`WriteOp`]s. Those that do not depend on the state become a batch at
//! once; for the others the shard's turn is taken and they are resolved on its state. The batch
//! is appended, which makes it durable, and applied, which makes it visible; a client that does
//! not wait has its answer between the two.

use std::sync::Arc;
use std::time::Duration;

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
    let (tell, durable) = oneshot::channel();
    let job = Arc::clone(&call);
    let done = call
        .state
        .write
        .start(move || operation(&job, Durable(tell)));
    let done = done.await?;
    let (written, status) = if call.parameters.wait {
        completed(done, durable, call.parameters.timeout).await?
    } else {
        (
            acknowledged(done, durable).await?,
            UpdateStatus::Acknowledged,
        )
    };
    reply(&call, written, status)
}

/// What becomes of an operation, once a thread has ended it.
type Done = oneshot::Receiver<Result<Written, ApiError>>;

fn stopped(_: oneshot::error::RecvError) -> ApiError {
    ApiError::unavailable("the server is stopping")
}

/// Waits until the operation is durable. Without word of that it failed, and says why.
async fn acknowledged(
    done: Done,
    durable: oneshot::Receiver<Written>,
) -> Result<Written, ApiError> {
    match durable.await {
        Ok(written) => Ok(written),
        Err(_) => done.await.map_err(stopped)?,
    }
}

/// Waits until the operation is visible, as long as the client wants to.
async fn completed(
    done: Done,
    mut durable: oneshot::Receiver<Written>,
    limit: Option<Duration>,
) -> Result<(Written, UpdateStatus), ApiError> {
    let Some(limit) = limit else {
        let written = done.await.map_err(stopped)??;
        return Ok((written, UpdateStatus::Completed));
    };
    match timeout(limit, done).await {
        Ok(done) => Ok((done.map_err(stopped)??, UpdateStatus::Completed)),
        Err(_) => match durable.try_recv() {
            Ok(written) => Ok((written, UpdateStatus::WaitTimeout)),
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
    let filtered: Vec<_> = ops.iter().filter_map(WriteOp::filter).collect();
    if !filtered.is_empty() {
        let schema = collection.schema();
        for filter in filtered {
            call.note(&schema, Some(filter));
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(3);

    fn written() -> Written {
        Written {
            seqno: SeqNo(7),
            results: None,
        }
    }

    type Tells = (
        oneshot::Sender<Result<Written, ApiError>>,
        oneshot::Sender<Written>,
    );

    fn operation() -> (Tells, Done, oneshot::Receiver<Written>) {
        let ((done, is_done), (durable, is_durable)) = (oneshot::channel(), oneshot::channel());
        ((done, durable), is_done, is_durable)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_durable_and_not_visible_in_time_is_a_wait_timeout() {
        let ((_still, durable), is_done, is_durable) = operation();
        durable.send(written()).unwrap();
        let (found, status) = completed(is_done, is_durable, Some(LIMIT)).await.unwrap();
        assert_eq!((found.seqno, status), (SeqNo(7), UpdateStatus::WaitTimeout));
        let told = serde_json::to_value(UpdateResult::new(found.seqno, status)).unwrap();
        assert_eq!(told["status"], "wait_timeout");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_durable_in_time_is_no_success() {
        let ((_still, _durable), is_done, is_durable) = operation();
        let error = completed(is_done, is_durable, Some(LIMIT))
            .await
            .unwrap_err();
        assert_eq!(error.status(), 408);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_visible_in_time_is_completed_and_a_failure_is_told() {
        for limit in [None, Some(LIMIT)] {
            let ((done, _durable), is_done, is_durable) = operation();
            done.send(Ok(written())).unwrap();
            let (_, status) = completed(is_done, is_durable, limit).await.unwrap();
            assert_eq!(status, UpdateStatus::Completed);
            let ((done, durable), is_done, is_durable) = operation();
            drop(durable);
            done.send(Err(ApiError::bad_input("why"))).unwrap();
            let error = completed(is_done, is_durable, limit).await.unwrap_err();
            assert_eq!(error.status(), 400);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_wait_has_the_answer_when_it_is_durable() {
        let ((_still, durable), is_done, is_durable) = operation();
        durable.send(written()).unwrap();
        let found = acknowledged(is_done, is_durable).await.unwrap();
        assert_eq!(found.seqno, SeqNo(7));
        let ((done, durable), is_done, is_durable) = operation();
        drop(durable);
        done.send(Err(ApiError::bad_input("why"))).unwrap();
        assert!(acknowledged(is_done, is_durable).await.is_err());
    }
}
