import { setFlagsFromString } from 'node:v8'

/**
 * Lets the heap grow by three quarters of what is in use before it is collected, rather than to several times as much: what
 * goes through a backfill is garbage by the thousand rows, and would fill memory that others on the machine could use.
 *
 * Measured on a million rows: 166 to 180 MiB resident with it, 220 to 240 without it, at about the same speed.
 */
export const keepHeapSmall = (): void => setFlagsFromString('--heap-growing-percent=75')
