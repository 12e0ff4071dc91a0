import { useMutation, useQuery, useSubscription } from '@apollo/client/react'
import { useState } from 'react'
import { AddCard } from './AddCard'
import { graphql } from './gql'
import type { WalletQuery } from './gql/graphql'
import { Pay } from './Pay'
import { newKey, Outcome, type Written } from './Outcome'

export const WALLET = graphql(`
  query Wallet($id: ID!) {
    customer(id: $id) {
      id
      name
      defaultMethod { id }
      defaultMethodInfo { state }
      paymentMethods {
        id
        label
        nickname
        provider
        status
        isStale
        capabilities
        ... on Card { expiry expiryState }
      }
      sources { provider state isStale }
    }
  }
`)

const EVENTS = graphql(`
  subscription Events($id: ID!) {
    customerEvents(customerId: $id) { id type }
  }
`)

const SET_DEFAULT = graphql(`
  mutation SetDefault($input: SetDefaultPaymentMethodInput!) {
    setDefaultPaymentMethod(input: $input) {
      customer { id defaultMethod { id } defaultMethodInfo { state } }
      operation { id state }
      warnings { code message }
      userErrors { code message }
    }
  }
`)

const DELETE = graphql(`
  mutation Delete($input: DeletePaymentMethodInput!) {
    deletePaymentMethod(input: $input) {
      deletedId
      operation { id state }
      userErrors { code message }
    }
  }
`)

type Customer = NonNullable<WalletQuery['customer']>
type Method = NonNullable<Customer['paymentMethods']>[number]

export function Wallet({ customerId }: { customerId: string }) {
  const { data, error, loading, refetch } = useQuery(WALLET, { variables: { id: customerId } })
  const [written, setWritten] = useState<Written>()

  // Something changed here, in another tab or at a vault: read again.
  useSubscription(EVENTS, { variables: { id: customerId }, onData: () => void refetch() })

  if (loading && !data) return <main><p role="status">Reading your wallet …</p></main>
  // A response may have data and errors. Only without data there is nothing to show.
  const customer = data?.customer
  if (!customer) return <main><p role="alert">{error?.message ?? 'There is no such customer.'}</p></main>

  return (
    <main>
      <h1>{customer.name}</h1>
      <Outcome written={written} onDecided={() => void refetch()} />
      <Incomplete customer={customer} onRetry={() => void refetch()} />
      <ul className="methods">
        {customer.paymentMethods?.map((method) => (
          <Row key={method.id} method={method} customer={customer} onWritten={setWritten} />
        ))}
      </ul>
      <AddCard customerId={customerId} onWritten={setWritten} />
      <Pay customerId={customerId} />
    </main>
  )
}

// A vault that could not be read is said, never passed over: the list may be incomplete or old.
function Incomplete({ customer, onRetry }: { customer: Customer; onRetry: () => void }) {
  const missing = customer.sources.filter((one) => !['OK', 'NOT_LINKED', 'DISABLED', 'SKIPPED'].includes(one.state))
  if (missing.length === 0) return null
  const names = missing.map((one) => `${one.provider} (${one.isStale ? 'last known' : 'missing'})`)
  return (
    <p role="alert">
      Some methods could not be read: {names.join(', ')}. <button onClick={onRetry}>Try again</button>
    </p>
  )
}

type RowProps = { method: Method; customer: Customer; onWritten: (written: Written) => void }

function Row({ method, customer, onWritten }: RowProps) {
  const [isAsking, setAsking] = useState(false)
  const isDefault = customer.defaultMethod?.id === method.id
  const [setDefault] = useMutation(SET_DEFAULT)
  const [remove, { loading: isDeleting }] = useMutation(DELETE, { refetchQueries: [WALLET] })

  async function choose() {
    const input = { customerId: customer.id, paymentMethodId: method.id, idempotencyKey: newKey() }
    const { data } = await setDefault({
      variables: { input },
      // Shown at once. If the write fails, Apollo Client takes it back by itself.
      optimisticResponse: {
        setDefaultPaymentMethod: {
          __typename: 'SetDefaultPaymentMethodPayload',
          customer: {
            __typename: 'Customer',
            id: customer.id,
            defaultMethod: { __typename: method.__typename, id: method.id },
            defaultMethodInfo: { __typename: 'DefaultMethodInfo', state: 'RESOLVED' },
          },
          operation: null,
          warnings: [],
          userErrors: [],
        },
      },
    })
    onWritten({ what: `${method.label} as default`, ...data?.setDefaultPaymentMethod })
  }

  async function erase() {
    setAsking(false)
    const { data } = await remove({ variables: { input: { id: method.id, idempotencyKey: newKey() } } })
    onWritten({ what: `Deleting ${method.label}`, ...data?.deletePaymentMethod })
  }

  return (
    <li className={method.isStale ? 'stale' : undefined}>
      <span className="label">
        {method.nickname ?? method.label} {isDefault && <strong className="badge">Default</strong>}
        <small>
          {method.provider}
          {method.__typename === 'Card' && method.expiryState === 'EXPIRED' && ', expired'}
          {method.isStale && ', last known'}
        </small>
      </span>
      {!isDefault && <button onClick={() => void choose()}>Make default</button>}
      {method.capabilities.includes('DELETE') && (
        <button disabled={isDeleting} onClick={() => setAsking(true)}>Delete</button>
      )}
      {isAsking && (
        <dialog
          ref={(dialog) => { if (dialog && !dialog.open) dialog.showModal() }}
          onClose={() => setAsking(false)}
          aria-label={`Delete ${method.label}?`}
        >
          <p>Delete {method.label}? It is removed from its vault and cannot be restored.</p>
          <button onClick={() => void erase()}>Delete it</button>
          <button onClick={() => setAsking(false)}>Keep it</button>
        </dialog>
      )}
    </li>
  )
}
