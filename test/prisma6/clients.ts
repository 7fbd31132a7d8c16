// Prisma 6 is resolved from here: this folder is a package of its own, with a node_modules of its own.
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient as Marketplace } from './generated/marketplace/client.js'
import { Prisma, PrismaClient as Scenarios } from './generated/scenarios/client.js'

export { Prisma }

/** What `PrismaPg` is given. */
export interface Connection {
  readonly connectionString: string
  readonly max?: number
  readonly application_name?: string
}

export function connectMarketplace(connection: Connection): Marketplace {
  return new Marketplace({ adapter: new PrismaPg(connection) })
}

export function connectScenarios(connection: Connection): Scenarios {
  return new Scenarios({ adapter: new PrismaPg(connection) })
}
