import { marketplaceSync } from '../support/marketplace.js'
import { connectPrisma } from '../support/prisma.js'

// A function of a serverless application: started for one request, it writes, waits for its delivery, and ends. Started as a
// process of its own: node --import tsx function.ts <name>. `END` says how it ends.

const { DATABASE_URL: databaseUrl = '', CAPTURE, END } = process.env
const name = process.argv[2] ?? ''
const plain = connectPrisma(databaseUrl)
const sync = marketplaceSync(plain, { capture: CAPTURE === 'client' ? 'client' : 'trigger' })
const prisma = plain.$extends(sync.extension())

// 50 rows: most of the key space.
for (let n = 0; n < 50; n += 1) {
  const email = `${n}`
  await prisma.seller.upsert({ where: { email }, create: { name, email }, update: { name } })
}
console.log('written')
// Until it is killed.
if (END === 'never') await new Promise<void>((resolve) => setTimeout(resolve, 600_000))

const { settled, waiting } = await prisma.$safetykit.flush()
console.log(JSON.stringify({ settled, waiting }))
if (END === 'exit') process.exit()
await prisma.$disconnect()
