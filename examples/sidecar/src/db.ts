import sync from '../safetykit.config.js'
import { prisma } from './prisma.js'

/** What the application uses everywhere: the client, with `$safetykit`. */
export const db = prisma.$extends(sync.extension())
