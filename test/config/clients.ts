import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '../../prisma/generated/client/client.js'
import { PrismaClient as PrismaClientJs } from '../../prisma/generated/client-js/index.js'
import { ConfigError, type Mistake } from '../../src/index.js'

// Never connected to: a configuration is checked without a database.
const adapter = new PrismaPg({ connectionString: 'postgresql://nobody@localhost:1/nothing' })

export const prisma = new PrismaClient({ adapter })
export const prismaJs = new PrismaClientJs({ adapter })
export const extended = prisma.$extends({
  result: { product: { headline: { needs: { title: true }, compute: (product) => product.title } } },
})

/** The mistakes that a configuration is refused for. */
export function mistakesOf(define: () => unknown): readonly Mistake[] {
  try {
    define()
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes
    throw error
  }
  throw new Error('the configuration was accepted')
}
