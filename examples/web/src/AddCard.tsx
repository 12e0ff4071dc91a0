import { useMutation } from '@apollo/client/react'
import { useEffect, useState } from 'react'
import { graphql } from './gql'
import { newKey, type Written } from './Outcome'
import { WALLET } from './Wallet'

const TOKENIZE = graphql(`
  mutation Tokenize($input: CreateTokenizationInput!) {
    createTokenization(input: $input) {
      tokenization { action { url } }
      userErrors { message }
    }
  }
`)

const ADD = graphql(`
  mutation Add($input: AddPaymentMethodInput!) {
    addPaymentMethod(input: $input) {
      paymentMethod { id label }
      wasDuplicate
      operation { id state }
      warnings { message }
      userErrors { message }
    }
  }
`)

// The vault's own form, in a frame. The card number goes from the frame to the vault; this page gets a token.
export function AddCard({ customerId, onWritten }: { customerId: string; onWritten: (written: Written) => void }) {
  const [form, setForm] = useState<string>()
  const [tokenize] = useMutation(TOKENIZE)
  const [add] = useMutation(ADD, { refetchQueries: [WALLET] })

  useEffect(() => {
    if (!form) return
    async function captured({ origin, data: sent }: MessageEvent<{ status: number; token: string }>) {
      if (origin !== new URL(form!).origin) return // another frame, or another site
      if (sent.status !== 200) return onWritten({ what: 'Adding a card', userErrors: [{ message: 'The form did not accept it.' }] })
      setForm(undefined)
      const method = { loanproToken: { token: sent.token, kind: 'CARD' as const } }
      const { data } = await add({ variables: { input: { customerId, idempotencyKey: newKey(), method } } })
      const written = data?.addPaymentMethod
      const label = written?.paymentMethod?.label ?? 'a card'
      onWritten({ what: written?.wasDuplicate ? `${label} was there already` : `Adding ${label}`, ...written })
    }
    window.addEventListener('message', captured)
    return () => window.removeEventListener('message', captured)
  }, [form, customerId, add, onWritten])

  async function open() {
    const { data } = await tokenize({ variables: { input: { customerId, provider: 'LOANPRO' } } })
    const answer = data?.createTokenization
    setForm(answer?.tokenization?.action?.url ?? undefined)
    if (answer?.userErrors.length) onWritten({ what: 'Adding a card', ...answer })
  }

  return form ? (
    <section>
      <iframe src={form} title="The vault's form for a card" />
      <button onClick={() => setForm(undefined)}>Cancel</button>
    </section>
  ) : (
    <button onClick={() => void open()}>Add a card</button>
  )
}
