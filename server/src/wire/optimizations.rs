//! What compaction does, as the API's optimizations.
//!
//! `uuid`s are made of numbers that the engine has: a segment's is its id. Why a job was chosen
//! stands under `cairn`, which clients of Qdrant ignore.

use engine::{JobReport, Optimizations, SegmentReport};
use serde::Serialize;
use uuid::Uuid;

use super::time::rfc3339;

/// The answer to `GET collections/{name}/optimizations`.
#[derive(Debug, Serialize)]
pub(crate) struct JsonOptimizations {
    summary: Summary,
    running: Vec<Running>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<Vec<Queued>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Vec<Running>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_segments: Option<Vec<Segment>>,
}

/// Which lists were asked for.
#[derive(Debug, Default)]
pub(crate) struct With {
    pub(crate) queued: bool,
    pub(crate) completed: Option<usize>,
    pub(crate) idle_segments: bool,
}

#[derive(Debug, Serialize)]
struct Summary {
    queued_optimizations: usize,
    queued_segments: usize,
    queued_points: u64,
    idle_segments: usize,
}

#[derive(Debug, Serialize)]
struct Running {
    uuid: Uuid,
    optimizer: &'static str,
    status: Status,
    segments: Vec<Segment>,
    progress: Progress,
    cairn: Reason,
}

#[derive(Debug, Serialize)]
struct Queued {
    optimizer: &'static str,
    segments: Vec<Segment>,
    cairn: Reason,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Optimizing,
    Done,
    Error(String),
}

#[derive(Debug, Serialize)]
struct Segment {
    uuid: Uuid,
    points_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cairn: Option<SegmentExtra>,
}

/// What Cairn knows about a segment beyond its points.
#[derive(Debug, Serialize)]
struct SegmentExtra {
    dead_rows: u64,
    bytes: u64,
    indexed: bool,
}

#[derive(Debug, Serialize)]
struct Progress {
    name: &'static str,
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_sec: Option<f64>,
    done: u64,
    total: u64,
}

#[derive(Debug, Serialize)]
struct Reason {
    why: String,
    /// Seconds, if it goes on at the pace it had so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    left_sec: Option<f64>,
}

impl JsonOptimizations {
    /// `now_ms` is the wall clock that the jobs' times are of.
    pub(crate) fn new(report: Optimizations, with: &With, now_ms: u64) -> Self {
        let running = |job| running(job, now_ms);
        let segments_of = |job: &JobReport| job.segments.len();
        let summary = Summary {
            queued_optimizations: report.queued.len(),
            queued_segments: report.queued.iter().map(segments_of).sum(),
            queued_points: report.queued.iter().map(|job| job.rows).sum(),
            idle_segments: report.idle_segments.len(),
        };
        let queued = with.queued.then_some(report.queued);
        let idle = with.idle_segments.then_some(report.idle_segments);
        Self {
            summary,
            running: report.running.into_iter().map(running).collect(),
            queued: queued.map(|jobs| jobs.into_iter().map(queued_job).collect()),
            completed: with.completed.map(|most| {
                report
                    .completed
                    .into_iter()
                    .take(most)
                    .map(running)
                    .collect()
            }),
            idle_segments: idle.map(|segments| segments.iter().map(segment).collect()),
        }
    }
}

fn uuid_of_segment(id: u64) -> Uuid {
    Uuid::from_u64_pair(0, id)
}

fn segments(job: &JobReport) -> Vec<Segment> {
    let segments = job.segments.iter();
    segments
        .map(|segment| Segment {
            uuid: uuid_of_segment(segment.id),
            points_count: segment.rows,
            cairn: None,
        })
        .collect()
}

/// Nothing can be said of a job that has ended or has not got anywhere.
fn left_sec(job: &JobReport, now_ms: u64) -> Option<f64> {
    let runs = job.ended_ms.is_none() && job.progress > 0.0;
    runs.then(|| {
        let done = job.progress.min(1.0);
        let elapsed_sec = now_ms.saturating_sub(job.started_ms) as f64 / 1000.0;
        elapsed_sec * (1.0 - done) / done
    })
}

fn segment(report: &SegmentReport) -> Segment {
    Segment {
        uuid: uuid_of_segment(report.id),
        points_count: report.rows - report.dead_rows.min(report.rows),
        cairn: Some(SegmentExtra {
            dead_rows: report.dead_rows,
            bytes: report.bytes,
            indexed: report.indexed,
        }),
    }
}

fn running(job: JobReport, now_ms: u64) -> Running {
    let segments = segments(&job);
    let first = job.segments.first().map_or(0, |segment| segment.id);
    let took = job
        .ended_ms
        .map(|ended| ended.saturating_sub(job.started_ms));
    Running {
        uuid: Uuid::from_u64_pair(job.started_ms, first),
        optimizer: job.kind,
        segments,
        progress: Progress {
            name: job.kind,
            started_at: rfc3339(job.started_ms),
            finished_at: job.ended_ms.map(rfc3339),
            duration_sec: took.map(|ms| ms as f64 / 1000.0),
            done: (job.progress.clamp(0.0, 1.0) * job.rows as f64) as u64,
            total: job.rows,
        },
        cairn: Reason {
            left_sec: left_sec(&job, now_ms),
            why: job.why,
        },
        status: match (job.error, job.ended_ms) {
            (Some(error), _) => Status::Error(error),
            (None, Some(_)) => Status::Done,
            (None, None) => Status::Optimizing,
        },
    }
}

fn queued_job(job: JobReport) -> Queued {
    Queued {
        optimizer: job.kind,
        segments: segments(&job),
        cairn: Reason {
            why: job.why,
            left_sec: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use engine::JobSegment;
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_there_only_when_asked_for() {
        let job = JobReport {
            kind: "merge",
            why: "4 segments of one size".to_owned(),
            segments: vec![JobSegment { id: 1, rows: 3 }, JobSegment { id: 2, rows: 7 }],
            rows: 10,
            progress: 0.25,
            started_ms: 1000,
            ended_ms: None,
            error: None,
        };
        let report = Optimizations {
            running: vec![job.clone()],
            queued: vec![job],
            ..Optimizations::default()
        };
        let tree = serde_json::to_value(JsonOptimizations::new(
            report.clone(),
            &With::default(),
            4000,
        ));
        let tree = tree.unwrap();
        assert_eq!(tree["summary"]["queued_points"], 10);
        assert_eq!(tree["running"][0]["status"], "optimizing");
        assert_eq!(tree["running"][0]["progress"]["done"], 2);
        assert_eq!(tree["running"][0]["cairn"]["left_sec"], 9.0);
        assert_eq!(tree["running"][0]["cairn"]["why"], "4 segments of one size");
        assert!(tree.get("queued").is_none() && tree.get("completed").is_none());
        let with = With {
            queued: true,
            completed: Some(16),
            idle_segments: true,
        };
        let tree = serde_json::to_value(JsonOptimizations::new(report, &with, 4000)).unwrap();
        let counts = |job: &serde_json::Value| {
            let segments = job["segments"].as_array().unwrap().iter();
            segments
                .map(|segment| segment["points_count"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(&tree["queued"][0]), [3, 7]);
        assert_eq!(counts(&tree["running"][0]), [3, 7]);
        assert!(tree["queued"][0]["cairn"].get("left_sec").is_none());
        assert_eq!(tree["completed"], json!([]));
    }
}
