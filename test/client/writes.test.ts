import { connectPrisma } from '../support/prisma.js'
import { testWrites } from './test-writes.js'

testWrites(connectPrisma)
