import type { PrismaClient } from '../../prisma/generated/client/client.js'
import { connectMarketplace } from '../prisma6/clients.js'
import { testWrites } from './test-writes.js'

testWrites((connectionString) => connectMarketplace({ connectionString }) as unknown as PrismaClient)
