// BullMQ doing what peers/ours.py does: `node bullmq.mjs SCENARIO JOBS REDIS_URL`, one line of JSON.
// `inserts` takes a MONGO_URL as well: jobs that insert one document each, from the first that is added to the last one's end.
import { Queue, Worker } from 'bullmq'

const PLACES = 32
const BATCH = 500
const [scenario, count, url, mongo] = process.argv.slice(2)
const jobs = Number(count)
const { hostname, port } = new URL(url)
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null }
const name = `bench-${process.pid}`
const queue = new Queue(name, { connection })
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function add() {
  for (let first = 0; first < jobs; first += BATCH) {
    await queue.addBulk(Array.from({ length: Math.min(BATCH, jobs - first) }, (_, i) => ({
      name: 'job', data: { id: first + i }, opts: { removeOnComplete: true },
    })))
  }
}

function consume(work) {
  let ended = 0
  let finish
  const all = new Promise((resolve) => { finish = resolve })
  const worker = new Worker(name, async (job) => {
    await work(job)
    if (++ended === jobs) finish()
  }, { connection, concurrency: PLACES })
  return { worker, all }
}

async function drained(work) {
  await add()
  const cpu = process.cpuUsage()
  const start = performance.now()
  const { worker, all } = consume(work)
  await all
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage(cpu)
  await worker.close()
  return { seconds, cpu_us: (user + system) / jobs }
}

async function inserts() {
  const { MongoClient } = await import('mongodb')
  const client = await new MongoClient(mongo, { writeConcern: { w: 'majority', j: true } }).connect()
  const rows = client.db().collection(name)
  await rows.insertOne({})
  const { worker, all } = consume((job) => rows.insertOne({ job: job.data.id, at: new Date() }))
  await worker.waitUntilReady()
  const start = performance.now()
  await add()
  await all
  const seconds = (performance.now() - start) / 1000
  await worker.close()
  await rows.drop()
  await client.close()
  return { seconds }
}

async function pickup() {
  const waits = []
  let started
  const worker = new Worker(name, async () => started(performance.now()), { connection, concurrency: PLACES })
  await worker.waitUntilReady()
  for (let i = 0; i < jobs; i++) {
    const ran = new Promise((resolve) => { started = resolve })
    const start = performance.now()
    await queue.add('job', { id: i }, { removeOnComplete: true })
    waits.push(await ran - start)
    await sleep(5)
  }
  await worker.close()
  return { waits_ms: waits }
}

const scenarios = { empty: () => drained(async () => {}), busy: () => drained(() => sleep(25)), pickup, inserts }
console.log(JSON.stringify(await scenarios[scenario]()))
await queue.obliterate({ force: true })
await queue.close()
