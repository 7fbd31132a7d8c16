// npm run example:sidecar: the service, the sidecar, a database and an API of their own, in one terminal.
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import type { RunningCommand } from '../../test/support/sidecar.js'
import { curl } from '../curl.js'
import { keep, perform, tellHowToGoOn } from '../perform.js'
import { code, dim, done, heading, line } from '../print.js'
import { end, openStage, type Stage } from '../stage.js'

const lamp = { title: 'Brass desk lamp', price: 129.9, seller: { name: 'Ada Lamps', email: 'ada@shop.example' } }
const review = {
  author: { name: 'Bo', email: 'bo@shop.example' },
  stars: 5,
  text: 'Warm light, and it came well packed.',
}

await perform(async (interrupted) => {
  heading('1  A database, SafetyKit, the sidecar between them, and the service')
  const stage = await openStage({ home: fileURLToPath(new URL('.', import.meta.url)), signal: interrupted })
  try {
    let sidecar = await startSidecar(stage)
    interrupted.throwIfAborted()
    code('$ node --import tsx src/server.ts')
    const service = stage.script('src/server.ts', {
      // The service needs no key: the sidecar alone talks to SafetyKit.
      env: { PORT: process.env.PORT ?? '3000', SAFETYKIT_API_KEY: '' },
      onLine: (text) => line(`  ${dim('service │')} ${text}`),
    })
    await service.waitForOutput('listens at')
    const url = /listens at (\S+)/.exec(service.stdout())?.[1] ?? ''
    interrupted.throwIfAborted()

    heading('2  What to try')
    const { id } = (await curl(`${url}/products`, { method: 'POST', body: lamp })) as { id: string }
    line('\n  The sidecar sees it in the write-ahead log. The service asks what has become of it:')
    await curl(`${url}/products/${id}/safetykit`, { until: (status) => status !== null })
    line('\n  A nested write, and one question for all reviews:')
    await curl(`${url}/products/${id}/reviews`, { method: 'POST', body: review })
    await curl(`${url}/products/${id}/reviews`, { until: (all) => !JSON.stringify(all).includes('"safetykit":null') })

    heading('3  The sidecar stops, and the shop goes on')
    const { code: exitCode } = await end(sidecar)
    if (exitCode !== 0) throw new Error(`The sidecar ended with ${exitCode}`)
    await curl(`${url}/products/${id}`, { method: 'PATCH', body: { title: 'Brass desk lamp, rewired' } })
    line('\n  Another program writes too:')
    await sql(stage, `UPDATE "Product" SET price = 99 WHERE id = '${id}'`)
    line('\n  Postgres keeps both, and the sidecar takes them up where it stopped:')
    sidecar = await startSidecar(stage)
    const seen = `${stage.emulator.url}/emulator/objects/products/${id}`
    await curl(seen, { until: (object) => /"price":99\b/.test(JSON.stringify(object)) })
    done('SafetyKit has the title and the price that the table has')
    line('\n  Once more, for a new evaluation, though nothing has changed:')
    await curl(`${url}/products/${id}/safetykit`, { method: 'POST' })

    tellHowToGoOn(stage, { url, id, readme: 'examples/sidecar/README.md' })
    await keep(interrupted, [service, sidecar])
    for (const [name, one] of Object.entries({ service, sidecar })) {
      const { code: exitCode } = await end(one)
      if (exitCode !== 0) throw new Error(`The ${name} ended with ${exitCode}`)
    }
    done('Service and sidecar have settled what was in flight, and have ended')
  } finally {
    await stage.close()
  }
})

async function startSidecar(stage: Stage): Promise<RunningCommand> {
  code('$ safetykit-sync run')
  const sidecar = stage.command(['run'])
  await sidecar.waitFor((logged) => logged.msg === 'Replication has started')
  done(`The sidecar reads the write-ahead log, as process ${sidecar.pid}`)
  return sidecar
}

async function sql({ databaseUrl }: Stage, statement: string): Promise<void> {
  code(`$ psql ${databaseUrl} -c '${statement.replaceAll("'", "'\\''")}'`)
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { command, rowCount } = await client.query(statement)
    line(dim(`  ${command} ${rowCount}`))
  } finally {
    await client.end()
  }
}
