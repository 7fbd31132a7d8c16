import { readdirSync, readFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { cpuSeconds, openStage, rows, startCommand, startEmulator, table } from './workload.js'

const help = `Usage: npm run soak -- [--minutes 30] [--per-second N]

Writes N rows a second (default: 5,000) into a table that the sidecar reads from the WAL, and looks at the sidecar each second.
Half of its maximum is what is meant: half of the rate that "npm run bench -- drain" gives on the same machine.

Flat is: over the last two thirds of the time, a straight line through the figures rises by less than a tenth of their mean
(of the delay: by less than 5 ms), or falls.

On one machine the sidecar shares the processor with the server, the API and whoever writes, and a loop that waits for it
is late. So that the figures are the sidecar's own it is given priority, where that is allowed (as root); "waits" is the
share of the time in which it was ready to run and another process had the processor.`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    'per-second': { type: 'string', default: '5000' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

interface Sample {
  readonly seconds: number
  /** Written so far. */
  readonly rows: number
  readonly residentMb: number
  readonly handles: number
  readonly delayMs: number
  /** WAL that the slot holds back. */
  readonly lagMb: number
  /** Seconds of the processor that it had so far, and that it waited for it. */
  readonly cpu: number
  readonly waits: number
}

/** A hundred transactions of the rate a second, as far as the server takes them. */
async function soak(minutes: number, perSecond: number): Promise<Sample[]> {
  const stage = await openStage()
  const emulator = await startEmulator(['--no-objects'])
  try {
    await stage.db.query(table)
    const env = { ...emulator.env, DATABASE_URL: stage.server.url() }
    const config = stage.configure({ schema: 'safetykit', slot: 'soak' })
    await startCommand(['migrate', '--config', config], env).sees('Made the replication slot')
    const sidecar = startCommand(['run', '--config', config, '--metrics-port', '0'], env)
    const told = await sidecar.sees('Metrics are served')
    const port = Number(/"port":(\d+)/.exec(told)?.[1])
    await sidecar.sees('Replication has started')
    const pid = sidecar.process.pid ?? 0
    prefer(pid)
    const samples: Sample[] = []
    const began = performance.now()
    const seconds = (): number => (performance.now() - began) / 1000
    let stopped = false
    let written = 0
    const writing = (async () => {
      const each = Math.max(1, Math.round(perSecond / 100))
      for (let n = 0; !stopped; n += each) {
        const dueMs = (n / perSecond) * 1000 - seconds() * 1000
        if (dueMs > 0) await sleep(dueMs)
        // The table stays as large as some minutes make it; what is written over is an update.
        const from = (n % 1_000_000) + 1
        await stage.db.query(`${rows(String(from), String(from + each - 1))}
          ON CONFLICT (id) DO UPDATE SET price = products.price + 1`)
        written += each
      }
    })()
    while (seconds() < minutes * 60) {
      await sleep(1_000)
      const told = await metrics(port)
      samples.push({
        seconds: seconds(),
        rows: written,
        cpu: cpuSeconds(pid),
        waits: waitSeconds(pid),
        ...looks(pid),
        ...told,
      })
    }
    stopped = true
    await writing
    await sidecar.stop()
    return samples
  } finally {
    await emulator.command.stop()
    await stage.close()
  }
}

function looks(pid: number): { readonly residentMb: number; readonly handles: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    residentMb: Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024,
    handles: readdirSync(`/proc/${pid}/fd`).length,
  }
}

function prefer(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_HIGH)
  } catch {
    console.log('Without priority: that is for root.\n')
  }
}

/** Seconds for which the main thread was ready to run and did not. */
function waitSeconds(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e9
}

/** The delay is the 99th percentile since the sidecar was asked last. */
async function metrics(port: number): Promise<{ readonly delayMs: number; readonly lagMb: number }> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const value = (name: string): number =>
    Number(new RegExp(`^\\w*${name}(?:\\{.*\\})? ([\\d.e+-]+)$`, 'm').exec(text)?.[1])
  return { delayMs: value('eventloop_lag_p99_seconds') * 1000, lagMb: value('slot_lag_bytes') / 2 ** 20 }
}

const mean = (of: readonly number[]): number => of.reduce((sum, one) => sum + one, 0) / of.length

/** The slope of the straight line that is nearest to the points, in units of y a unit of x. */
function slope(x: readonly number[], y: readonly number[]): number {
  const [mx, my] = [mean(x), mean(y)]
  const above = x.reduce((sum, at, index) => sum + (at - mx) * ((y[index] ?? 0) - my), 0)
  return above / x.reduce((sum, at) => sum + (at - mx) ** 2, 0)
}

function show(samples: readonly Sample[]): boolean {
  const columns = ['minute', 'rows/s', 'resident MiB', 'handles', 'event loop p99 ms', 'lag MiB', 'processor', 'waits']
  console.log(`  ${columns.join('  ')}`)
  for (let minute = 0; minute * 60 < (samples.at(-1)?.seconds ?? 0); minute += 1) {
    const within = samples.filter(({ seconds }) => Math.floor(seconds / 60) === minute)
    const [first, last] = [within[0], within.at(-1)]
    if (first === undefined || last === undefined || first === last) continue
    const perSecond = (of: (sample: Sample) => number): number =>
      (of(last) - of(first)) / (last.seconds - first.seconds)
    const meanOf = (of: (sample: Sample) => number): number => mean(within.map(of))
    const cells = [
      `${minute}`,
      perSecond(({ rows }) => rows).toFixed(0),
      meanOf(({ residentMb }) => residentMb).toFixed(0),
      meanOf(({ handles }) => handles).toFixed(1),
      meanOf(({ delayMs }) => delayMs).toFixed(1),
      meanOf(({ lagMb }) => lagMb).toFixed(1),
      `${(perSecond(({ cpu }) => cpu) * 100).toFixed(0)} %`,
      `${(perSecond(({ waits }) => waits) * 100).toFixed(0)} %`,
    ]
    console.log(`  ${cells.map((cell, index) => cell.padStart(columns[index]?.length ?? 0)).join('  ')}`)
  }
  const settled = samples.filter((_, index) => index >= samples.length / 3)
  const x = settled.map(({ seconds }) => seconds)
  const span = (x.at(-1) ?? 0) - (x[0] ?? 0)
  let allFlat = true
  console.log('')
  for (const [name, unit, of, most] of [
    ['resident memory', 'MiB', settled.map(({ residentMb }) => residentMb), 0],
    ['handles', '', settled.map(({ handles }) => handles), 0],
    ['event loop p99', 'ms', settled.map(({ delayMs }) => delayMs), 5],
  ] as const) {
    const rise = slope(x, of) * span
    const flat = rise < (most || mean(of) / 10)
    allFlat &&= flat
    const figures = `mean ${mean(of).toFixed(1)} ${unit}, ${rise < 0 ? 'falls' : 'rises'} by ${Math.abs(rise).toFixed(1)}`
    console.log(`  ${name}: ${figures} over the last two thirds: ${flat ? 'flat' : 'NOT flat'}`)
  }
  return allFlat
}

if (values.help) console.log(help)
else {
  const [minutes, perSecond] = [Number(values.minutes), Number(values['per-second'])]
  console.log(`${minutes} minutes at ${perSecond} rows a second, Node ${process.version}\n`)
  process.exitCode = show(await soak(minutes, perSecond)) ? 0 : 1
}
