"""Immutable parameter and result types of the store. Datetimes are UTC and aware."""

from app.store.records.clients import (
    ClientKey,
    ClientRecord,
    DocumentRecord,
    DocumentUse,
    KeyUse,
    NewDocument,
    Publication,
)
from app.store.records.consents import Consent, ConsentChannel, ConsentRecord
from app.store.records.directory import (
    ChoiceRecord,
    CustomerRecord,
    DirectoryEntry,
    FormerCustomer,
    LinkConflictReason,
    LinkConflictRecord,
    LinkRecord,
    MergeConflicts,
    MethodAddress,
)
from app.store.records.endpoints import (
    ClaimedDelivery,
    DisabledReason,
    EndpointDelivery,
    EndpointDeliveryState,
    EndpointRecord,
    EndpointWork,
    NewEndpoint,
)
from app.store.records.events import (
    ChangeNotice,
    ChangeNotices,
    EventOrigin,
    EventPage,
    EventRecord,
    EventType,
    NewEvent,
    Topic,
)
from app.store.records.inbound import (
    DeliveryRecord,
    DeliveryState,
    ImportRecord,
    NewDelivery,
    ObservedChanges,
    ObservedMethod,
    ObservedRecord,
    ObservedStatus,
)
from app.store.records.journal import (
    Begun,
    BegunBefore,
    BegunElsewhere,
    BegunNew,
    LeaseRecord,
    NewOperation,
    OperationRecord,
    OperationState,
    ResultPage,
    ResultRow,
    WriteOutcome,
)
from app.store.records.payments import NewPaymentRecord, PaymentAttempt, PaymentRecord, PaymentState
from app.store.records.search import BY_GRANT, BY_ID, CustomerCriteria, CustomerPage, CustomerPosition, ExpiryPosition
