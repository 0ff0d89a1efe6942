//! Plans and what makes them poor: explain, issues.

use query::Explain;
use serde::Serialize;

use super::Call;
use crate::error::{ApiError, of_query};
use crate::issues::Issue;
use crate::reply::Reply;
use crate::wire::explain::{ExplainBody, JsonExplanation};
use crate::wire::json;
use crate::wire::search::QueryBody;

#[derive(Serialize)]
struct Listed {
    issues: Vec<Issue>,
}

/// `POST points/query/explain`: the body of a query, and `analyze` to have it tried.
pub(crate) fn explain(call: &Call) -> Result<Reply, ApiError> {
    let snapshot = call.collection()?.snapshot();
    let analyze = json::read::<ExplainBody>(call.body.bytes())?.analyze();
    let request = json::read::<QueryBody>(call.body.bytes())?.convert("")?;
    call.note(snapshot.schema(), request.filter.as_ref());
    let options = Explain {
        analyze,
        path: None,
    };
    let env = call.env(Some(call.deadline()));
    let explained = query::explain(&snapshot, &request, &env, options)
        .map_err(|error| of_query(error, "Explain", call.read_limit()))?;
    call.ok(JsonExplanation::new(&request.using, &explained))
}

/// `GET /issues`.
pub(crate) fn issues(call: &Call) -> Result<Reply, ApiError> {
    let issues = call.state.issues.list(&call.state.db.collections());
    call.ok(Listed { issues })
}

/// `DELETE /issues`.
pub(crate) fn clear_issues(call: &Call) -> Result<Reply, ApiError> {
    call.state.issues.clear();
    call.ok(true)
}
