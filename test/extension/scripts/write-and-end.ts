// A script as people write them: it writes, says so, and ends without a word to anyone.
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../../prisma/generated/client/client.js'
import { defineSync } from '../../../src/index.js'

// Prisma's own connections must not be what keeps it alive.
const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL, allowExitOnIdle: true })
const prisma = new PrismaClient({ adapter })
const sync = defineSync(prisma, { models: { Seller: { namespace: 'sellers', fields: { name: true } } } })
const db = prisma.$extends(sync.extension())
for (let n = 0; n < 20; n += 1) await db.seller.create({ data: { name: 'n', email: `${n}` } })
if (process.argv.includes('flush')) console.log(JSON.stringify(await db.$safetykit.flush()))
if (process.argv.includes('status')) console.log(JSON.stringify(await db.$safetykit.status('Seller', 1)))
