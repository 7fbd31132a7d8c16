import { close, createApp, listen } from '../../http.js'
import { db } from './db.js'
import { routes } from './routes.js'

const server = createApp(routes)
await listen(server, Number(process.env.PORT ?? 3000))

const stop = async (): Promise<void> => {
  await close(server)
  await db.$disconnect()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop())
