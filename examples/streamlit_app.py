"""A Streamlit page that asks a database, goes on from the answer and takes verdicts.

SQLGEN_DB=sqlite:///shop.db streamlit run examples/streamlit_app.py
"""

import streamlit as st

import sqlgen


@st.cache_resource
def database() -> sqlgen.Database:
    """One connection for all visitors, to what SQLGEN_DB or sqlgen.toml names; it may be shared between threads."""
    return sqlgen.connect()


st.title("Ask your data")
if st.button("New conversation"):
    st.session_state.pop("answer", None)

before = st.session_state.get("answer")
if question := st.chat_input("Your question, or what to change in the answer"):
    st.session_state.answer = database().ask(question) if before is None else before.ask(question)

if answer := st.session_state.get("answer"):
    st.subheader(answer.question.text)
    if answer.result is None:
        st.warning(f"{answer.status}: {answer.message}")
    else:
        st.text(answer.reading)
        st.dataframe(answer.to_pandas())
        if chart := answer.chart():
            st.vega_lite_chart(spec=chart)
    st.code(answer.sql, language="sql")
    st.caption(f"confidence {answer.confidence:.0%}")
    right, wrong = st.columns(2)
    if right.button("Right", disabled=not answer.sql):
        answer.accept()
        st.toast("Kept.")
    if wrong.button("Wrong"):
        answer.reject()
        st.toast("Kept.")
