// npm run example:inline: the service with a database and an API of its own, in one terminal.
import { fileURLToPath } from 'node:url'
import { curl } from '../curl.js'
import { keep, perform, tellHowToGoOn } from '../perform.js'
import { code, dim, done, heading, line } from '../print.js'
import { end, openStage } from '../stage.js'

const lamp = {
  title: 'Brass desk lamp',
  price: 129.9,
  seller: { name: 'Ada Lamps', email: 'ada@shop.example' },
  images: ['https://img.shop.example/lamp.jpg'],
}

await perform(async (interrupted) => {
  heading('1  A database, SafetyKit, and the service: nothing else runs')
  const stage = await openStage({ home: fileURLToPath(new URL('.', import.meta.url)), signal: interrupted })
  try {
    code('$ node --import tsx src/server.ts')
    const service = stage.script('src/server.ts', {
      env: { PORT: process.env.PORT ?? '3000' },
      onLine: (text) => line(`  ${dim('service │')} ${text}`),
    })
    await service.waitForOutput('listens at')
    const url = /listens at (\S+)/.exec(service.stdout())?.[1] ?? ''
    interrupted.throwIfAborted()

    heading('2  What to try')
    const { id } = (await curl(`${url}/products`, { method: 'POST', body: lamp })) as { id: string }
    line('\n  Its three rows are on their way. What SafetyKit has of the product, by its own receipt:')
    await curl(`${url}/products/${id}/safetykit`, { until: (status) => status !== null })
    line('\n  An update; and the requests that held the product, the newest first:')
    await curl(`${url}/products/${id}`, { method: 'PATCH', body: { title: 'Brass desk lamp, rewired' } })
    await curl(`${url}/products/${id}/safetykit/requests`, { until: (all) => Array.isArray(all) && all.length > 1 })
    line('\n  A transaction with nested writes:')
    await curl(`${url}/checkout`, { method: 'POST', body: { items: [{ productId: id, quantity: 1 }] } })
    line('\n  What has arrived at the other side:')
    const seen = `${stage.emulator.url}/emulator/objects/products/${id}`
    await curl(seen, { until: (object) => JSON.stringify(object).includes('"SOLD"') })
    done('Sold, as the table says')

    tellHowToGoOn(stage, { url, id, readme: 'examples/inline/README.md' })
    await keep(interrupted, [service])
    const { code: exitCode } = await end(service)
    if (exitCode !== 0) throw new Error(`The service ended with ${exitCode}`)
    done('The service has settled what was in flight, and has ended')
  } finally {
    await stage.close()
  }
})
