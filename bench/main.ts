import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { type BackfillResult, backfill } from './backfill.js'
import { type DrainResult, drain } from './drain.js'
import { latency } from './latency.js'
import { memory } from './memory.js'
import { type VerifyResult, verify } from './verify.js'
import { median } from './workload.js'
import { doors, type WriteResult, writes, writeToAccepted } from './writes.js'

const help = `Usage: npm run bench -- [drain] [one-row] [memory] [latency] [writes] [accepted] [backfill] [verify] [--runs 3] [--rows N] [--profile DIR] [--only TEXT]

drain    200,000 rows, 100 a transaction, against pg_recvlogical on the same WAL
one-row  the same with a row a transaction
memory   resident memory while one transaction of 500,000 rows drains into an API that takes 50 ms
latency  commit to recorded, at 200 single-row commits a second
writes   what a write through Prisma costs with each way of capture, against the plain client in the same run
         (--only: the kinds whose name holds the text)
accepted from a write in an idle application that delivers itself until its request is recorded
backfill 1,000,000 rows of which the ledger knows nothing, by import, against COPY of the mapped columns to STDOUT
verify   1,000,000 rows that are in step, against the same COPY
Without a name all but one-row. drain and one-row need pg_recvlogical, backfill and verify need psql (Debian: postgresql-client).`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '3' },
    rows: { type: 'string' },
    profile: { type: 'string' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

if (values.help) {
  console.log(help)
} else {
  const wanted =
    positionals.length > 0 ? positionals : ['drain', 'memory', 'latency', 'writes', 'accepted', 'backfill', 'verify']
  const total = Number(values.rows ?? 200_000)
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}\n`)
  for (const name of wanted) await run(name, total)
}

async function run(name: string, total: number): Promise<void> {
  const runs = Number(values.runs)
  switch (name) {
    case 'drain':
      showDrain(await drain({ total, perTransaction: 100, runs, profile: values.profile }))
      break
    case 'one-row':
      showDrain(await drain({ total, perTransaction: 1, runs, profile: values.profile }))
      break
    case 'memory': {
      const { total: drained, seconds, peakMb } = await memory({ total: 500_000 })
      const rate = Math.round(drained / seconds).toLocaleString('en')
      console.log(`One transaction of ${drained.toLocaleString('en')} rows into an API that takes 50 ms a request`)
      console.log(`  resident memory at most ${peakMb.toFixed(0)} MiB (bar: 256), ${rate} rows/s\n`)
      break
    }
    case 'latency': {
      const { commits, perSecond, p50Ms, p99Ms } = await latency({ perSecond: 200, seconds: 20 })
      console.log(
        `Commit to recorded, ${perSecond} single-row commits a second, ${commits.toLocaleString('en')} commits`,
      )
      console.log(`  p50 ${p50Ms.toFixed(0)} ms (bar: 60), p99 ${p99Ms.toFixed(0)} ms (bar: 250)\n`)
      break
    }
    case 'backfill':
      showBackfill(await backfill({ total: Number(values.rows ?? 1_000_000), runs, profile: values.profile }))
      break
    case 'verify':
      showVerify(await verify({ total: Number(values.rows ?? 1_000_000), runs, profile: values.profile }))
      break
    case 'writes':
      showWrites(await writes(values.only))
      break
    case 'accepted': {
      const { p50Ms, p99Ms } = await writeToAccepted(60)
      console.log('From a write to its recorded request, delivered inline in an idle application')
      console.log(`  p50 ${p50Ms.toFixed(0)} ms (bar: 60), p99 ${p99Ms.toFixed(0)} ms\n`)
      break
    }
    default:
      console.error(`There is no benchmark "${name}".\n\n${help}`)
      process.exitCode = 2
  }
}

function showDrain({ label, reader, sidecar, ratios, costs }: DrainResult): void {
  console.log(`Draining ${label}, until all is recorded (bar: 0.5)\n`)
  const line = (...cells: readonly (string | number)[]) =>
    console.log(`  ${cells.map((cell, at) => String(cell).padStart(at === 0 ? 3 : 15)).join('')}`)
  line('run', 'pg_recvlogical', 'sidecar', 'ratio', '|  µs a row:', 'sidecar', 'ledger', 'walsender', 'API')
  for (const [run, ratio] of ratios.entries()) {
    const cost = costs[run]
    const rates = [reader[run] ?? 0, sidecar[run] ?? 0].map((rate) => `${(rate / 1000).toFixed(0)}k/s`)
    const micros = [cost?.sidecar, cost?.ledger, cost?.walsender, cost?.api].map((used) => (used ?? 0).toFixed(1))
    line(run + 1, ...rates, ratio.toFixed(2), '|', ...micros)
  }
  console.log(`  median ratio ${median(ratios).toFixed(2)}\n`)
}

function showBackfill({ total, runs }: BackfillResult): void {
  console.log(
    `Backfill of ${total.toLocaleString('en')} rows by import, until all is recorded (bar: 0.2; memory 200 MB)\n`,
  )
  const line = (...cells: readonly (string | number)[]) =>
    console.log(`  ${cells.map((cell, at) => String(cell).padStart(at === 0 ? 3 : 12)).join('')}`)
  line('run', 'COPY', 'backfill', 'ratio', 'MiB', '|  µs a row:', 'process', 'source', 'ledger', 'API')
  for (const [run, { copy, backfill: rate, ratio, peakMb, costs }] of runs.entries()) {
    const rates = [copy, rate].map((perSecond) => `${(perSecond / 1000).toFixed(0)}k/s`)
    const micros = [costs.process, costs.source, costs.ledger, costs.api].map((used) => used.toFixed(1))
    line(run + 1, ...rates, ratio.toFixed(2), peakMb.toFixed(0), '|', ...micros)
  }
  console.log(`  median ratio ${median(runs.map(({ ratio }) => ratio)).toFixed(2)}\n`)
}

function showVerify({ total, runs }: VerifyResult): void {
  console.log(`Verifying ${total.toLocaleString('en')} rows in step, from start to end (bar: 0.3, 200 MiB)\n`)
  const line = (...cells: readonly (string | number)[]) =>
    console.log(`  ${cells.map((cell, at) => String(cell).padStart(at === 0 ? 3 : 12)).join('')}`)
  line('run', 'COPY', 'verify', 'ratio', 'MiB', '|  µs a row:', 'process', 'source', 'ledger')
  for (const [run, { copy, verify: rate, ratio, peakMb, costs }] of runs.entries()) {
    const rates = [copy, rate].map((perSecond) => `${(perSecond / 1000).toFixed(0)}k/s`)
    const micros = [costs.process, costs.source, costs.ledger].map((used) => used.toFixed(1))
    line(run + 1, ...rates, ratio.toFixed(2), peakMb.toFixed(0), '|', ...micros)
  }
  console.log(`  median ratio ${median(runs.map(({ ratio }) => ratio)).toFixed(2)}\n`)
}

function showWrites(results: readonly WriteResult[]): void {
  console.log('Writes through Prisma, median ms; in brackets the ratio to the plain client in the same run')
  console.log('(trigger, client: capture alone; inline: triggers, and the same process delivers meanwhile)\n')
  const line = (label: string, bar: string, cells: readonly string[]) =>
    console.log(`  ${label.padEnd(44)}${cells.map((cell) => cell.padStart(16)).join('')}${bar.padStart(8)}`)
  line('', 'bar', doors)
  for (const { label, bar, ms } of results) {
    const cells = doors.map((door) => {
      const ratio = door === 'plain' ? '' : ` (${(ms[door] / ms.plain).toFixed(2)})`
      return `${ms[door].toFixed(ms[door] < 10 ? 3 : 0)}${ratio}`
    })
    line(label, bar?.toFixed(2) ?? '', cells)
  }
  console.log('')
}
