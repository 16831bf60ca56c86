//! Downloads with hf-hub as a Rust program would. tests/clients/drive.py runs it with one JSON
//! argument; the endpoint and the cache come by HF_ENDPOINT and HF_HOME. Prints one line of JSON.

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};
use serde_json::{json, Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

type Paths = BTreeMap<String, PathBuf>;

fn main() {
    let argument = std::env::args().nth(1).expect("one JSON argument");
    let job: Value = serde_json::from_str(&argument).expect("the argument is JSON");
    println!("{}", run(&job).unwrap_or_else(|error| described(&error)));
}

fn run(job: &Value) -> Result<Value, ApiError> {
    let place = place(job);
    if job["offline"].as_bool().unwrap_or(false) {
        return Ok(cached(job, Cache::from_env().repo(place)));
    }
    // hf-hub 0.5 knows no HF_TOKEN, only $HF_HOME/token: programs hand theirs over like this.
    let builder = ApiBuilder::from_env().with_progress(false);
    let token = job["token"].as_str().map(str::to_owned);
    let repo = builder.with_token(token).build()?.repo(place);
    let files = match job["action"].as_str() {
        Some("list") => {
            let info = repo.info()?;
            let names: Vec<_> = info.siblings.into_iter().map(|file| file.rfilename).collect();
            return Ok(json!({"commit": info.sha, "names": names}));
        }
        Some("snapshot") => repo.info()?.siblings.into_iter().map(|file| file.rfilename).collect(),
        _ => wanted(job),
    };
    // `get` takes what the cache has under the branch's last known commit; `download` asks.
    let again = job["action"] == "download";
    Ok(json!({"paths": downloaded(&repo, files, again)?}))
}

fn place(job: &Value) -> Repo {
    let kind = match job["type"].as_str() {
        Some("dataset") => RepoType::Dataset,
        Some("space") => RepoType::Space,
        _ => RepoType::Model,
    };
    let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
    Repo::with_revision(text("repo"), kind, text("revision"))
}

fn wanted(job: &Value) -> Vec<String> {
    let files = job["files"].as_array().cloned().unwrap_or_default();
    files.iter().filter_map(|file| file.as_str().map(str::to_owned)).collect()
}

fn downloaded(repo: &ApiRepo, files: Vec<String>, again: bool) -> Result<Paths, ApiError> {
    let fetch = |name: &str| if again { repo.download(name) } else { repo.get(name) };
    files.into_iter().map(|name| Ok((name.clone(), fetch(&name)?))).collect()
}

fn cached(job: &Value, repo: CacheRepo) -> Value {
    let mut paths = Map::new();
    for name in wanted(job) {
        match repo.get(&name) {
            Some(path) => paths.insert(name, json!(path)),
            None => return json!({"error": "NotCached", "text": format!("{name} is not cached")}),
        };
    }
    json!({"paths": paths})
}

fn described(error: &ApiError) -> Value {
    let debug = format!("{error:?}");
    let class = debug.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("ApiError");
    json!({"error": class, "text": format!("{error} ({debug})")})
}
