// Downloads with @huggingface/hub as a JavaScript program would. tests/clients/drive.py runs it
// with one JSON argument. Prints one line of JSON last; the package prints lines of its own before.

import { readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { downloadFileToCacheDir, listFiles, snapshotDownload } from "@huggingface/hub";

const job = JSON.parse(process.argv[2]);
const place = {
  repo: { type: job.type, name: job.repo },
  revision: job.revision,
  hubUrl: job.endpoint, // it knows no HF_ENDPOINT
  ...(job.token && { accessToken: job.token }),
};

const actions = {
  async snapshot() {
    const folder = await snapshotDownload(place);
    const paths = {};
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.path, entry.name);
      if (!entry.isDirectory()) paths[relative(folder, path)] = path;
    }
    return { paths };
  },
  async file() {
    const paths = {};
    for (const path of job.files) paths[path] = await downloadFileToCacheDir({ ...place, path });
    return { paths };
  },
  async list() {
    const names = [];
    for await (const entry of listFiles({ ...place, recursive: true }))
      if (entry.type === "file") names.push(entry.path);
    return { names };
  },
};

function described(error) {
  const cause = error.cause ? ` (${error.cause.code ?? error.cause.message})` : "";
  return {
    error: error.constructor.name,
    text: `${error.message}${cause}`,
    ...(error.statusCode && { status: error.statusCode }),
  };
}

const answer = await actions[job.action]().catch(described);
console.log(JSON.stringify(answer));
