// The same work as Vaultgraph's wallet query, for the Node peers: five GETs, mapped and merged into ten methods.
import DataLoader from "dataloader";

export const typeDefs = /* GraphQL */ `
  enum Provider { LOANPRO ALOHA JPMORGAN CASELLE }
  interface PaymentMethod { id: ID! provider: Provider! label: String! last4: String status: String! isDefault: Boolean holderName: String }
  type Card implements PaymentMethod {
    id: ID! provider: Provider! label: String! last4: String status: String! isDefault: Boolean holderName: String
    brand: String! expiry: String expiryState: String! authStatus: String!
  }
  type BankAccount implements PaymentMethod {
    id: ID! provider: Provider! label: String! last4: String status: String! isDefault: Boolean holderName: String
    rail: String! accountType: String bankName: String
  }
  type Source { provider: Provider! state: String! methodCount: Int }
  type Customer { id: ID! paymentMethods(first: Int! = 100): [PaymentMethod!] sources: [Source!]! }
  type UserError { code: String! }
  input SetDefaultPaymentMethodInput { customerId: ID! paymentMethodId: ID! }
  type SetDefaultPaymentMethodPayload { userErrors: [UserError!]! customer: Customer }
  type Mutation { setDefaultPaymentMethod(input: SetDefaultPaymentMethodInput!): SetDefaultPaymentMethodPayload }
  type Query { customer(id: ID!): Customer nodes(ids: [ID!]!): [Customer]! }
`;

const BRANDS = { VISA: "Visa", MASTERCARD: "Mastercard", AMEX: "American Express", DISCOVER: "Discover" };
const LOANPRO = { visa: "VISA", masterCard: "MASTERCARD", amex: "AMEX", discover: "DISCOVER" };
const ALOHA = { 0: "AMEX", 3: "DISCOVER", 5: "JCB", 6: "MASTERCARD", 7: "VISA" };
const JPMORGAN = { VI: "VISA", MC: "MASTERCARD", AX: "AMEX", DI: "DISCOVER" };

const now = new Date();
const thisMonth = `${now.getUTCFullYear()}-${String(now.getUTCMonth() + 1).padStart(2, "0")}`;
const last4 = (text) => text.slice(-4);

function card(provider, ref, brand, four, expiry, holderName, authStatus, isDefault) {
  return {
    __typename: "Card", id: `${provider}:${ref}`, provider, brand, last4: four, expiry, holderName, authStatus, isDefault, status: "ACTIVE",
    label: `${BRANDS[brand]} ending ${four}`, expiryState: expiry < thisMonth ? "EXPIRED" : "VALID",
  };
}

function bank(provider, ref, four, accountType, bankName, holderName) {
  return {
    __typename: "BankAccount", id: `${provider}:${ref}`, provider, rail: "ACH", last4: four, accountType, bankName,
    holderName, isDefault: false, status: "ACTIVE", label: `Checking account ending ${four}`,
  };
}

function fromLoanPro(rows) {
  return rows.map((row) => {
    if (row.type === "paymentAccount.type.credit") {
      const child = row.CreditCard;
      const [month, year] = child.cardExpiration.split("/");
      return card("LOANPRO", row.id, LOANPRO[child.cardType.split(".").pop()], last4(child.cardNumber), `${year}-${month}`,
        child.cardHolderName, "NOT_APPLICABLE", row.isPrimary === 1);
    }
    const child = row.CheckingAccount;
    return bank("LOANPRO", row.id, last4(child.accountNumber), "CHECKING", child.bankName, child.cardHolderName);
  });
}

const fromAloha = (rows) => rows.map((row) =>
  card("ALOHA", row.AccountId, ALOHA[row.MethodType], last4(row.MaskedAccountNumber), row.ExpirationDate.slice(0, 7),
    null, "NOT_APPLICABLE", false));

function fromJpMorgan(profile, statuses) {
  const lists = profile.paymentMethodType;
  const cards = lists.cardList.map((row, index) => {
    const [month, year] = row.cardExpirationMonthYearNumber.split("/");
    const status = statuses[index].cardAuthenticationDetails.responseStatus === "SUCCESS" ? "AUTHENTICATED" : "FAILED";
    return card("JPMORGAN", row.paymentMethodId, JPMORGAN[row.cardType], row.last4CardNumber, `${year}-${month}`,
      `${row.firstName} ${row.lastName}`, status, false);
  });
  const accounts = lists.achList.map((row) =>
    bank("JPMORGAN", row.paymentMethodId, row.last4AccountNumber, row.accountType, null,
      `${row.firstName} ${row.lastName}`));
  return [...accounts, ...cards]; // by method id, like Vaultgraph
}

const fromCaselle = (rows) => rows.map((row) => {
  const method = row.payment_method;
  if (method.payment_method_type === "credit") {
    const { credit } = method;
    return card("CASELLE", row.saved_payment_method_uid, credit.card_brand, credit.last4,
      `${credit.exp_year}-${String(credit.exp_month).padStart(2, "0")}`, credit.holder_name, "NOT_APPLICABLE", false);
  }
  return bank("CASELLE", row.saved_payment_method_uid, method.ach.account_suffix, "CHECKING", null, method.ach.holder_name);
});

// `get(path)` returns decoded JSON; `get(path, body)` PUTs. Each vault's ref of customer n is derived from n.
// With BENCH_ENTITY_CACHE a customer's mapped wallet is cached, like Vaultgraph's snapshots.
const kept = process.env.BENCH_ENTITY_CACHE ? new Map() : null;

const refs = (id) => {
  const number = Number(id.slice(-4));
  return { loanpro: 1000 + number, jpmorgan: `LD${id.slice(-4)}`, caselle: `cus_load${id.slice(-4)}`, aloha: number };
};

const vaultsBy = (get) => ({
  loanpro: (ref) => get(`/loanpro/api/public/api/1/odata.svc/Customers()?$filter=id%20eq%20${ref}`),
  aloha: (ref) => get(`/aloha/v1/Customers/${ref}/Payments`),
  jpmorgan: (ref) => get(`/jpmorgan/api/v2/mmp/consumer-profiles/${ref}`),
  jpmorganStatus: (ref, method) => get(`/jpmorgan/api/v2/mmp/consumer-profiles/${ref}/payment-methods/${method}/status`),
  caselle: (ref) => get(`/caselle/api/customers/${ref}/payment-methods`),
});

export function makeContext(get, vaults = vaultsBy(get)) {
  const read = async (id) => {
    const ref = refs(id);
    const profileOf = async () => {
      const profile = await vaults.jpmorgan(ref.jpmorgan);
      const statuses = await Promise.all(profile.paymentMethodType.cardList.map((row) =>
        vaults.jpmorganStatus(ref.jpmorgan, row.paymentMethodId)));
      return fromJpMorgan(profile, statuses);
    };
    const [loanpro, aloha, jpmorgan, caselle] = await Promise.all([
      vaults.loanpro(ref.loanpro),
      vaults.aloha(ref.aloha),
      profileOf(),
      vaults.caselle(ref.caselle),
    ]);
    const parts = {
      LOANPRO: fromLoanPro(loanpro.d.results[0].PaymentAccounts.results), ALOHA: fromAloha(aloha), JPMORGAN: jpmorgan,
      CASELLE: fromCaselle(caselle),
    };
    const sources = Object.entries(parts).map(([provider, methods]) =>
      ({ provider, state: "OK", methodCount: methods.length }));
    return { id, paymentMethods: Object.values(parts).flat(), sources };
  };
  const find = (id) => {
    if (kept === null) return read(id);
    if (!kept.has(id)) kept.set(id, read(id));
    return kept.get(id);
  };
  const loader = new DataLoader((ids) => Promise.all(ids.map(find)));
  return { loader, get };
}

// Reads the vault's methods, then sets the default unless it is already set. Stores nothing.
async function setDefault({ customerId, paymentMethodId }, { get }) {
  const at = `/caselle/api/customers/${refs(customerId).caselle}`;
  const uid = paymentMethodId.split(":")[1];
  const row = (await get(`${at}/payment-methods`)).find((one) => one.saved_payment_method_uid === uid);
  if (row === undefined) return { userErrors: [{ code: "NOT_FOUND" }] };
  if (!row.is_default) await get(`${at}/default-payment-method`, { saved_payment_method_uid: uid });
  kept?.delete(customerId);
  return { userErrors: [], customer: { id: customerId } };
}

export const resolvers = {
  Customer: { paymentMethods: (customer, { first }) => customer.paymentMethods.slice(0, first) },
  PaymentMethod: { __resolveType: (method) => method.__typename },
  Mutation: { setDefaultPaymentMethod: (_root, { input }, context) => setDefault(input, context) },
  Query: {
    customer: (_root, { id }, context) => context.loader.load(id),
    nodes: (_root, { ids }, context) => Promise.all(ids.map((id) => context.loader.load(id))),
  },
};
