// The requests of the benchmark against Adobe's Node.js client, used as its documentation shows.
//
// node run.mjs PLAN.json
//
// The plan has the server for impressions, the effort and the cases, each with an artifact file and the options of
// several visitors. One line of JSON a case comes out: medians in microseconds, and how many offers the answers had. Nothing
// leaves the machine: what the client fetches goes to the plan's server, whatever host was meant.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(import.meta.url);
const TargetClient = require("@adobe/target-nodejs-sdk");

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
let fetched = 0;
let inFlight = 0;

async function toTheServer(url, options) {
  fetched += 1;
  inFlight += 1;
  const { pathname, search } = new URL(url);
  try {
    return await fetch(`http://${plan.server}${pathname}${search}`, options);
  } finally {
    inFlight -= 1;
  }
}

// Impressions are sent when the event loop comes round, which it does not while calls follow each other at once.
async function allSent(calls) {
  const begun = performance.now();
  const before = fetched;
  for (let quiet = 0; quiet < 3; quiet = inFlight > 0 || fetched - before < calls ? 0 : quiet + 1) {
    if (performance.now() - begun > 10_000) throw new Error("impressions are not sent");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function create(artifactPayload) {
  return new Promise((resolve, reject) => {
    const client = TargetClient.create({
      client: plan.client,
      organizationId: plan.organizationId,
      decisioningMethod: "on-device",
      artifactPayload,
      pollingInterval: 0,
      targetLocationHint: "35",
      serverDomain: plan.server,
      secure: false,
      telemetryEnabled: false,
      fetchApi: toTheServer,
      events: {
        clientReady: () => resolve(client),
        artifactDownloadFailed: ({ error }) => reject(error),
      },
    });
  });
}

function offersIn(response) {
  const options = (list) => (list ?? []).reduce((sum, item) => sum + (item.options?.length ?? 0), 0);
  return [response.execute, response.prefetch].reduce(
    (sum, part) => sum + options(part?.mboxes) + options(part?.views) + (part?.pageLoad?.options?.length ?? 0),
    0,
  );
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

// CPU time of the process since then, in microseconds.
function used(before) {
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

async function measure({ name, artifact, options, executes }) {
  const client = await create(JSON.parse(readFileSync(artifact, "utf8")));
  const before = JSON.stringify(options);
  const answers = [];
  for (const visitor of options) answers.push(await client.getOffers(visitor));
  const offers = [...new Set(answers.map(({ response }) => offersIn(response)))];
  const methods = [...new Set(answers.map(({ meta }) => meta?.decisioningMethod))];

  let calls = 0;
  const begun = performance.now();
  while (performance.now() - begun < 2 * plan.roundMs || calls < 5) {
    await client.getOffers(options[calls % options.length]);
    calls += 1;
  }
  if (executes) await allSent(calls);
  calls = Math.max(3, Math.ceil(calls / 2));
  const rounds = [];
  const cpu = [];
  const withSending = [];
  for (let round = 0; round < plan.rounds; round += 1) {
    const startCpu = process.cpuUsage();
    const start = performance.now();
    for (let call = 0; call < calls; call += 1) await client.getOffers(options[call % options.length]);
    rounds.push(((performance.now() - start) * 1000) / calls);
    cpu.push(used(startCpu) / calls);
    if (executes) {
      await allSent(calls);
      withSending.push(used(startCpu) / calls);
    }
  }
  const changed = JSON.stringify(options) !== before;
  return {
    name,
    wall: median(rounds),
    cpu: median(cpu),
    withSending: median(withSending),
    offers,
    methods,
    changed,
  };
}

for (const one of plan.cases) {
  let line;
  try {
    line = await measure(one);
  } catch (error) {
    line = { name: one.name, error: String(error) };
  }
  console.log(JSON.stringify(line));
}
process.exit(0);
