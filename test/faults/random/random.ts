/** Draws that are the same for the same seed. */
export interface Random {
  /** From 0 to 1, without 1. */
  number(): number
  /** A whole number, both ends included. */
  between(least: number, most: number): number
  chance(probability: number): boolean
  pick<T>(of: readonly T[]): T
  shuffled<T>(of: readonly T[]): T[]
  /** Another one, so that who draws more often does not shift what others draw. */
  fork(): Random
}

/** mulberry32. */
export function randomFrom(seed: number): Random {
  let state = seed | 0
  const number = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const between = (least: number, most: number): number => least + Math.floor(number() * (most - least + 1))
  return {
    number,
    between,
    chance: (probability) => number() < probability,
    pick: (of) => of[between(0, of.length - 1)] as (typeof of)[number],
    shuffled(of) {
      const cards = [...of]
      for (let at = cards.length - 1; at > 0; at -= 1) {
        const other = between(0, at)
        ;[cards[at], cards[other]] = [cards[other] as (typeof cards)[number], cards[at] as (typeof cards)[number]]
      }
      return cards
    },
    fork: () => randomFrom(between(1, 2 ** 31)),
  }
}
