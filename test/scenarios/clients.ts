import { PrismaPg } from '@prisma/adapter-pg'
import * as prisma6 from '../prisma6/clients.js'
import { Prisma, PrismaClient } from './generated/client.js'

/** The versions of Prisma that every scenario runs on. */
export type Version = '6.19' | '7'

/** Writes and reads of Prisma 7 are what the scenarios are typed by; where they differ, they say so. */
export type { PrismaClient }

/** `Prisma.sql`, `Prisma.join` and the classes of errors: each version has its own. */
export type PrismaNamespace = typeof Prisma

export interface Connected {
  readonly prisma: PrismaClient
  readonly Prisma: PrismaNamespace
}

/** A client of the scenarios' tables. It connects at its first query; end it with `$disconnect()`. */
export function connect(version: Version, url: string): Connected {
  const connection = { connectionString: url, application_name: 'application' }
  if (version === '7') return { prisma: new PrismaClient({ adapter: new PrismaPg(connection) }), Prisma }
  return {
    prisma: prisma6.connectScenarios(connection) as unknown as PrismaClient,
    Prisma: prisma6.Prisma as unknown as PrismaNamespace,
  }
}
