import type { SyncOptions } from '../../src/config/input.js'
import { defineSync } from '../../src/sync.js'
import type { PrismaClient } from './clients.js'

export interface Capturing extends SyncOptions {
  readonly capture: 'trigger' | 'client' | 'replication'
  readonly deliver?: 'inline' | 'sidecar'
}

/** The mapping that tables.ts describes, as a user writes it. */
export function scenarioSync(prisma: PrismaClient, options: Capturing) {
  return defineSync(prisma, {
    ...options,
    models: {
      Author: [
        {
          namespace: 'authors',
          fields: { name: true, bio: true, role: true, mentorId: { as: 'mentor', namespace_ref: 'authors' } },
          onDelete: 'tombstone',
        },
        { namespace: 'contacts', id: 'email', fields: { name: true } },
      ],
      Profile: { namespace: 'profiles', fields: { about: true, theme: true } },
      Category: { namespace: 'categories', fields: { title: true }, onDelete: 'tombstone' },
      Post: {
        namespace: 'posts',
        fields: {
          title: { display_hint: { type: 'title' } },
          body: true,
          published: true,
          authorId: { as: 'author_id', namespace_ref: 'authors' },
          categoryCode: { as: 'category' },
        },
        onDelete: 'tombstone',
      },
      Comment: {
        namespace: 'comments',
        fields: { text: true, authorId: { as: 'author_id', namespace_ref: 'authors' } },
        onDelete: 'tombstone',
      },
      Reaction: { namespace: 'reactions', fields: { mood: true, weight: true } },
      Tag: { namespace: 'tags', fields: { label: true } },
      Sample: {
        namespace: 'samples',
        fields: {
          big: true,
          amount: true,
          ratio: true,
          small: true,
          flag: true,
          bytes: true,
          mood: true,
          moods: true,
          words: true,
          counts: true,
          amounts: true,
          data: true,
          day: true,
          clock: true,
          at: true,
          local: true,
          uid: true,
          address: true,
        },
      },
    },
  })
}
