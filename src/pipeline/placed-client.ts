import pg from 'pg'
import { type DatabasePlace, ofDatabase } from '../database-errors.js'

/** A client whose errors are remembered to be of this database, so that they are told with its address. */
export function placedClient(place: DatabasePlace): typeof pg.Client {
  class PlacedClient extends pg.Client {
    constructor(config?: string | pg.ClientConfig) {
      try {
        super(config)
      } catch (error) {
        throw ofDatabase(error, place)
      }
    }
  }
  for (const name of ['connect', 'query'] as const) {
    const work = pg.Client.prototype[name] as (...given: unknown[]) => unknown
    const placed = function (this: pg.Client, ...given: unknown[]): unknown {
      const callback = given.at(-1)
      // As a pool calls them.
      if (typeof callback === 'function') {
        given[given.length - 1] = (error: unknown, ...rest: unknown[]) => callback(ofDatabase(error, place), ...rest)
      }
      const answer = Reflect.apply(work, this, given)
      return answer instanceof Promise ? answer.catch((error) => Promise.reject(ofDatabase(error, place))) : answer
    }
    Object.defineProperty(PlacedClient.prototype, name, { value: placed })
  }
  return PlacedClient
}
