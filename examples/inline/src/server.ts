import { close, createApp, listen } from '../../http.js'
import { db } from './db.js'
import { routes } from './routes.js'

db.$safetykit.on('accepted', ({ namespace, requestId, objectIds }) => {
  console.log(`SafetyKit accepted ${objectIds.length} of ${namespace} as ${requestId}`)
})
db.$safetykit.on('parked', ({ namespace, objectId, error }) => {
  console.warn(`SafetyKit refused ${objectId} of ${namespace}: ${error.message}`)
})

// The worker starts with the client's first operation: what an earlier process has left goes out at once.
await db.$queryRaw`SELECT 1`

const server = createApp(routes)
await listen(server, Number(process.env.PORT ?? 3000))

const stop = async (): Promise<void> => {
  await close(server)
  // Settles what is in flight, for up to 10 seconds; the rest is the next process' work.
  await db.$disconnect()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
