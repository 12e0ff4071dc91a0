import { useSubscription } from '@apollo/client/react'
import { graphql } from './gql'
import type { OperationState } from './gql/graphql'

const OPERATION = graphql(`
  subscription OperationUpdated($id: ID!) {
    operationUpdated(id: $id) { id state }
  }
`)

export type Written = {
  what: string
  operation?: { id: string; state: OperationState } | null
  userErrors?: { message: string }[]
  warnings?: { message: string }[]
}

// The key of one write. To repeat the write after a lost connection, send the same key again.
export const newKey = () => crypto.randomUUID()

// What became of the last write. PENDING and UNKNOWN are not failures: the gateway keeps asking the vault.
export function Outcome({ written, onDecided }: { written?: Written; onDecided: () => void }) {
  const open = written?.operation?.state === 'PENDING' || written?.operation?.state === 'UNKNOWN'
  const { data } = useSubscription(OPERATION, {
    variables: { id: written?.operation?.id ?? '' },
    skip: !open,
    onComplete: onDecided,
  })
  if (!written) return null
  const [problem] = written.userErrors ?? []
  const state = data?.operationUpdated.state ?? written.operation?.state
  if (state === 'PENDING') return <p role="status">{written.what}: being done …</p>
  if (state === 'UNKNOWN') return <p role="alert">{written.what}: it is not known yet whether it was done. We are checking.</p>
  if (problem && !open) return <p role="alert">{written.what}: {problem.message}</p>
  if (state === 'FAILED') return <p role="alert">{written.what}: not done.</p>
  return <p role="status">{written.what}: done. {written.warnings?.map((one) => one.message).join(' ')}</p>
}
