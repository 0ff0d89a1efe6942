//! Payload indexes: an entry in the schema, then background work that clients may wait for.

use std::sync::Arc;
use std::time::Duration;

use format_spec::FieldIndex;
use tokio::time::sleep;

use super::collections::alter;
use super::points::UpdateStatus;
use super::{Call, Pending};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::wire::filter::any_path;
use crate::wire::index::IndexBody;
use crate::wire::json;

/// How often a waiting client's index is looked at, first and at most.
const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_MOST: Duration = Duration::from_millis(100);

/// `PUT collections/{name}/index`.
pub(crate) fn create(call: Arc<Call>) -> Pending {
    Box::pin(async move {
        let job = Arc::clone(&call);
        let index = call
            .state
            .admin
            .run(move || {
                job.collection()?;
                let index = json::read::<IndexBody>(job.body.bytes())?.convert()?;
                alter(&job, job.collection_name(), &mut |schema| {
                    let mut schema = schema.clone();
                    match schema
                        .fields
                        .iter_mut()
                        .find(|known| known.path == index.path)
                    {
                        Some(known) => *known = index.clone(),
                        None => schema.fields.push(index.clone()),
                    }
                    Ok(schema)
                })?;
                job.state.place(&*job.collection()?)?;
                Ok(index)
            })
            .await?;
        let status = if call.parameters.wait {
            wait_indexed(&call, &index).await?
        } else {
            UpdateStatus::Acknowledged
        };
        reply(&call, status)
    })
}

/// `DELETE collections/{name}/index/{field}`; no index of that name is fine.
pub(crate) fn delete(call: Arc<Call>) -> Pending {
    Box::pin(async move {
        let job = Arc::clone(&call);
        let dropped = call.state.admin.run(move || {
            job.collection()?;
            let path = any_path(job.path("field_name"), "field_name")?.to_string();
            alter(&job, job.collection_name(), &mut |schema| {
                let mut schema = schema.clone();
                schema.fields.retain(|field| field.path != path);
                Ok(schema)
            })
        });
        dropped.await?;
        let status = if call.parameters.wait {
            UpdateStatus::Completed
        } else {
            UpdateStatus::Acknowledged
        };
        reply(&call, status)
    })
}

/// Waits until every segment has the column, as long as the client does. An index that somebody
/// dropped or changed meanwhile is not waited for.
async fn wait_indexed(call: &Call, index: &FieldIndex) -> Result<UpdateStatus, ApiError> {
    let end = call
        .parameters
        .timeout
        .map(|timeout| call.started + timeout);
    let mut pause = LOOK_FIRST;
    loop {
        // With no time to wait this looks once and does not block.
        let collection = call.collection()?;
        let there = collection.schema().fields.contains(index);
        if !there || collection.wait_indexed(&index.path, Duration::ZERO) {
            return Ok(UpdateStatus::Completed);
        }
        if end.is_some_and(|end| call.state.clock.monotonic() >= end) {
            return Ok(UpdateStatus::WaitTimeout);
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK_MOST);
    }
}

fn reply(call: &Call, status: UpdateStatus) -> Result<Reply, ApiError> {
    let seqno = call.collection()?.snapshot().seqno();
    call.ok(super::points::UpdateResult::new(seqno, status))
}
